//! The product that all others are made of: a strip of rows by a panel of columns, both copied to where what is multiplied
//! together lies near. The tile of sums stays in registers.

use std::array::from_fn;

use super::simd::{Simd, WIDE};

/// Rows of a strip. With two vectors each, 24 of the 32 registers of AVX-512; AVX2, whose panels have half the columns, takes
/// half the rows at a time, 12 of its 16.
pub(crate) const STRIP: usize = 12;
/// Rows that are computed together at least: two vectors each are enough sums to keep the units busy.
const FEWEST: usize = 4;

/// Depth for which lines are read ahead together.
pub(crate) const AHEAD: usize = 8;
/// Values that come into the cache together.
pub(crate) const LINE: usize = 16;
/// Lines for each [`AHEAD`] of depth: all of the next panels, unless strips are few.
pub(crate) const LINES: usize = 2;

/// A strip of up to [`STRIP`] rows: value `(row, k)` is at `row * ROW + k * STEP`. What lies behind the last row, to a
/// multiple of four rows, is read too.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a, const ROW: usize, const STEP: usize>(pub &'a [f32]);

/// A panel of as many columns as [`Shape`](super::simd::Shape) says and `rows` rows: value `(k, column)` is at `k * ROW + column`.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, const ROW: usize> {
    pub values: &'a [f32],
    pub rows: usize,
}

/// Where the tile of a strip and a panel goes.
pub(crate) struct Target<'a> {
    /// The first value of each row.
    pub rows: &'a [*mut f32],
    /// Columns that are there; the others are computed, but not written.
    pub columns: usize,
    /// Whether the result is added to what is there.
    pub add: bool,
    /// What is prefetched meanwhile, [`LINES`] for each [`AHEAD`] of depth: any address will do.
    pub ahead: *const f32,
}

/// `target (+)= strip · panel`. Each sum is taken from the first `k` to the last.
///
/// # Safety
/// The first `columns` values of every row of `target` can be written, and nothing else reaches them at the same time.
#[inline(always)]
pub(crate) unsafe fn multiply_tile<S: Simd, const ROW: usize, const STEP: usize, const PITCH: usize>(
    simd: S,
    strip: Strip<ROW, STEP>,
    panel: Panel<PITCH>,
    target: &Target,
) {
    let (depth, rows) = (panel.rows, target.rows.len());
    if rows == 0 || depth == 0 {
        return;
    }
    let last = (rows.next_multiple_of(FEWEST) - 1) * ROW + (depth - 1) * STEP;
    assert!(rows <= STRIP && last < strip.0.len(), "a strip as deep as the panel");
    assert!((depth - 1) * PITCH + S::SHAPE.panel <= panel.values.len(), "a panel of that many rows");
    let groups = rows.div_ceil(FEWEST);
    // SAFETY: the strip reaches as far as the panel is deep, for all rows of all groups.
    unsafe {
        match groups {
            3 if S::TALL => part_of_tile::<S, ROW, STEP, PITCH, STRIP, 2>(simd, strip, panel, target, 0),
            2 if S::TALL => part_of_tile::<S, ROW, STEP, PITCH, { 2 * FEWEST }, 2>(simd, strip, panel, target, 0),
            1 if S::TALL => part_of_tile::<S, ROW, STEP, PITCH, FEWEST, 2>(simd, strip, panel, target, 0),
            3 => {
                for row in [0, STRIP / 2] {
                    part_of_tile::<S, ROW, STEP, PITCH, { STRIP / 2 }, 1>(simd, strip, panel, target, row);
                }
            }
            _ => {
                for row in (0..rows).step_by(FEWEST) {
                    part_of_tile::<S, ROW, STEP, PITCH, FEWEST, 1>(simd, strip, panel, target, row);
                }
            }
        }
    }
}

/// `M` rows from `row` on by `P` wide vectors: all columns.
#[inline(always)]
unsafe fn part_of_tile<
    S: Simd,
    const ROW: usize,
    const STEP: usize,
    const PITCH: usize,
    const M: usize,
    const P: usize,
>(
    simd: S,
    strip: Strip<ROW, STEP>,
    panel: Panel<PITCH>,
    target: &Target,
    row: usize,
) {
    // The sums take longer than it takes to prefetch what they are added to.
    for to in target.rows.iter().skip(row).take(M) {
        (0..P).for_each(|p| simd.prefetch(to.wrapping_add(p * WIDE)));
    }
    let mut sums = [[simd.wide_splat(0.0); P]; M];
    let depth = panel.rows;
    for first in (0..depth).step_by(AHEAD) {
        (0..LINES).for_each(|i| simd.prefetch(target.ahead.wrapping_add((first / AHEAD * LINES + i) * LINE)));
        for k in first..(first + AHEAD).min(depth) {
            let values = panel.values.as_ptr().wrapping_add(k * PITCH);
            (0..P).for_each(|p| simd.prefetch(values.wrapping_add(AHEAD * PITCH + p * WIDE)));
            // SAFETY: strip and panel have values for each `k`, and the part lies within the tile.
            unsafe {
                let values: [S::Wide; P] = from_fn(|p| simd.wide_load(panel.values, k * PITCH + p * WIDE));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.wide_broadcast(strip.0, k * STEP + (row + i) * ROW);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.wide_in_turn(simd.wide_multiply_add(factor, value, *sum));
                    }
                }
            }
        }
    }
    let one = simd.wide_splat(1.0);
    if let Some(rows) = target.rows.get(row..row + M).filter(|_| target.columns == P * WIDE) {
        for (to, sums) in rows.iter().zip(sums) {
            // SAFETY: the caller's rows have all columns.
            let to = unsafe { std::slice::from_raw_parts_mut(*to, P * WIDE) };
            for (p, sum) in sums.into_iter().enumerate() {
                // SAFETY: there are `P` vectors.
                unsafe {
                    let old = if target.add { simd.wide_load(to, p * WIDE) } else { simd.wide_splat(0.0) };
                    simd.wide_store(simd.wide_multiply_add(sum, one, old), to, p * WIDE);
                }
            }
        }
        return;
    }
    for (to, sums) in target.rows.iter().skip(row).zip(sums) {
        for (p, sum) in sums.into_iter().enumerate() {
            let first = p * WIDE;
            let count = WIDE.min(target.columns.saturating_sub(first));
            // SAFETY: the caller's rows have all columns that are there.
            let to = unsafe { std::slice::from_raw_parts_mut(to.add(first.min(target.columns)), count) };
            let mut values = [0.0; WIDE];
            if target.add {
                values[..count].copy_from_slice(to);
            }
            // SAFETY: the array has as many values as the vector.
            unsafe {
                let old = simd.wide_load(&values, 0);
                simd.wide_store(simd.wide_multiply_add(sum, one, old), &mut values, 0);
            }
            to.copy_from_slice(&values[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Kernel, dispatch, shape, with_each_set};

    /// Values from one row of the panel to the next: of 32 columns, of which some sets take 16.
    const PITCH: usize = 2 * WIDE;

    struct Tile<'a> {
        strip: &'a [f32],
        panel: &'a [f32],
        rows: usize,
        columns: usize,
        add: bool,
        out: &'a mut [[f32; 40]; STRIP],
    }

    impl Kernel for Tile<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let rows: [*mut f32; STRIP] = from_fn(|row| self.out[row].as_mut_ptr());
            let target =
                Target { rows: &rows[..self.rows], columns: self.columns, add: self.add, ahead: std::ptr::null() };
            let panel = Panel::<PITCH> { values: self.panel, rows: self.panel.len() / PITCH };
            // SAFETY: rows have 40 values, more than a panel has columns.
            unsafe { multiply_tile(simd, Strip::<1, STRIP>(self.strip), panel, &target) };
        }
    }

    #[test]
    fn a_tile_is_the_product_of_whole_numbers_and_nothing_behind_its_rows_and_columns_changes() {
        let number = |i: usize| ((i * 7 + i / 5) % 13) as f32 - 6.0;
        for (rows, depth, missing, add) in
            [(12, 1, 0, true), (5, 9, 0, false), (12, 9, 1, true), (3, 40, 15, false), (12, 40, 9, false)]
        {
            let strip: Vec<f32> = (0..depth * STRIP).map(number).collect();
            let panel: Vec<f32> = (3..depth * PITCH + 3).map(number).collect();
            with_each_set(|| {
                for columns in [shape().panel - missing, 1] {
                    let mut out = [[3.0; 40]; STRIP];
                    dispatch(Tile { strip: &strip, panel: &panel, rows, columns, add, out: &mut out });
                    for (row, values) in out.iter().enumerate() {
                        for (column, value) in values.iter().enumerate() {
                            let terms = (0..depth).map(|k| strip[k * STRIP + row] * panel[k * PITCH + column % PITCH]);
                            let old = if add { 3.0 } else { 0.0 };
                            let inside = row < rows && column < columns;
                            let expected = if inside { old + terms.sum::<f32>() } else { 3.0 };
                            assert_eq!(*value, expected, "{depth} deep, row {row}, column {column} of {columns}");
                        }
                    }
                }
            });
        }
    }
}
