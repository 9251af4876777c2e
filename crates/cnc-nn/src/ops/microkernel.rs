//! The product that all others are made of: a strip of rows by a panel of columns, both packed so that what is multiplied
//! together lies side by side. The tile of sums stays in registers.

use std::array::from_fn;

use super::simd::{LANES, Simd, prefetch};

/// Rows of a strip. With two vectors each, 24 of the 32 registers of AVX-512; AVX2 takes half the rows and half the columns at
/// a time, 12 of its 16.
pub(super) const STRIP: usize = 12;
/// Columns of a panel.
pub(super) const PANEL: usize = 4 * LANES;

/// Where the tile of a strip and a panel goes.
pub(super) struct Target {
    /// The first value of each row. A row that is not wanted may be the same as another, if what it holds does not matter.
    pub rows: [*mut f32; STRIP],
    /// Columns that are there; the others are computed, but not written.
    pub columns: usize,
    /// What the sums are multiplied with.
    pub scale: f32,
    /// Whether the result is added to what is there.
    pub add: bool,
    /// What is read after this tile: a line for each [`AHEAD`] of depth comes into the cache. Any place will do.
    pub ahead: *const f32,
}

/// Depth for each line that is read ahead.
pub(super) const AHEAD: usize = 8;
/// Values of a line of the cache.
pub(super) const LINE: usize = 16;

/// `target (+)= scale · strip · panel`: value `(row, k)` of the strip is at `k * STRIP + row`, value `(k, column)` of the panel
/// at `k * PANEL + column`. Each sum is taken from the first `k` to the last.
///
/// # Safety
/// The first `columns` values of every row of `target` can be written, and nothing else reaches them at the same time.
#[inline(always)]
pub(super) unsafe fn multiply_tile<S: Simd>(simd: S, strip: &[f32], panel: &[f32], target: &Target) {
    for row in target.rows {
        prefetch(row);
        prefetch(row.wrapping_add(PANEL / 2));
        prefetch(row.wrapping_add(PANEL - 1));
    }
    let depth = panel.len() / PANEL;
    assert!(strip.len() == depth * STRIP && panel.len() == depth * PANEL, "a strip as deep as the panel");
    if target.columns >= PANEL {
        // SAFETY: strip and panel are equally deep, and rows have all columns.
        unsafe { whole_tile(simd, strip, panel, target) };
        return;
    }
    let mut values = [[0.0; PANEL]; STRIP];
    let rows = from_fn(|row| values[row].as_mut_ptr());
    // SAFETY: as above.
    unsafe { whole_tile(simd, strip, panel, &Target { rows, columns: PANEL, add: false, ..*target }) };
    for (to, from) in target.rows.iter().zip(&values) {
        // SAFETY: the caller's rows have that many columns.
        let to = unsafe { std::slice::from_raw_parts_mut(*to, target.columns) };
        for (to, value) in to.iter_mut().zip(from) {
            *to = if target.add { *to + value } else { *value };
        }
    }
}

/// [`multiply_tile`] with all columns, of a strip as deep as the panel.
#[inline(always)]
unsafe fn whole_tile<S: Simd>(simd: S, strip: &[f32], panel: &[f32], target: &Target) {
    // SAFETY: the parts are all of the tile, and the caller's slices reach as far as they must.
    unsafe {
        if S::TALL {
            part_of_tile::<S, STRIP, 2>(simd, strip, panel, target, 0, 0);
        } else {
            for row in [0, STRIP / 2] {
                for column in [0, PANEL / 2] {
                    part_of_tile::<S, { STRIP / 2 }, 1>(simd, strip, panel, target, row, column);
                }
            }
        }
    }
}

/// `M` rows from `row` on by `P` wide vectors from `column` on.
#[inline(always)]
unsafe fn part_of_tile<S: Simd, const M: usize, const P: usize>(
    simd: S,
    strip: &[f32],
    panel: &[f32],
    target: &Target,
    row: usize,
    column: usize,
) {
    let mut sums = [[simd.wide_splat(0.0); P]; M];
    let depth = panel.len() / PANEL;
    for first in (0..depth).step_by(AHEAD) {
        prefetch(target.ahead.wrapping_add(first / AHEAD * LINE));
        for k in first..(first + AHEAD).min(depth) {
            // SAFETY: strip and panel have a row for each `k`, and the part lies within the tile.
            unsafe {
                let values: [S::Wide; P] = from_fn(|p| simd.wide_load(panel, k * PANEL + column + p * 2 * LANES));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.wide_broadcast(strip, k * STRIP + row + i);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.wide_multiply_add(factor, value, *sum);
                    }
                }
            }
        }
    }
    let (scale, zero) = (simd.wide_splat(target.scale), simd.wide_splat(0.0));
    for (to, sums) in target.rows[row..row + M].iter().zip(sums) {
        // SAFETY: rows have all columns.
        let to = unsafe { std::slice::from_raw_parts_mut(to.add(column), P * 2 * LANES) };
        for (p, sum) in sums.into_iter().enumerate() {
            // SAFETY: just made as long as `P` vectors.
            unsafe {
                let old = if target.add { simd.wide_load(to, p * 2 * LANES) } else { zero };
                simd.wide_store(simd.wide_multiply_add(sum, scale, old), to, p * 2 * LANES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::{Kernel, Portable, dispatch};

    struct Tile<'a> {
        strip: &'a [f32],
        panel: &'a [f32],
        columns: usize,
        add: bool,
        out: &'a mut [[f32; 40]; STRIP],
    }

    impl Kernel for Tile<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let rows = from_fn(|row| self.out[row].as_mut_ptr());
            let target = Target { rows, columns: self.columns, scale: 0.5, add: self.add, ahead: std::ptr::null() };
            // SAFETY: rows have 40 values, more than a panel has columns.
            unsafe { multiply_tile(simd, self.strip, self.panel, &target) };
        }
    }

    #[test]
    fn a_tile_is_the_scaled_product_of_whole_numbers_and_nothing_behind_its_columns_changes() {
        let number = |i: usize| ((i * 7 + i / 5) % 13) as f32 - 6.0;
        for (depth, columns, add) in [(0, 32, false), (1, 32, true), (9, 32, false), (9, 31, true), (40, 1, false)] {
            let strip: Vec<f32> = (0..depth * STRIP).map(number).collect();
            let panel: Vec<f32> = (3..depth * PANEL + 3).map(number).collect();
            let mut outs = [[[3.0; 40]; STRIP]; 2];
            let [portable, best] = &mut outs;
            Tile { strip: &strip, panel: &panel, columns, add, out: portable }.run(Portable);
            dispatch(Tile { strip: &strip, panel: &panel, columns, add, out: best });
            for out in outs {
                for (row, values) in out.iter().enumerate() {
                    for (column, value) in values.iter().enumerate() {
                        let sum: f32 =
                            (0..depth).map(|k| strip[k * STRIP + row] * panel[k * PANEL + column % PANEL]).sum();
                        let old = if add { 3.0 } else { 0.0 };
                        let expected = if column < columns { old + 0.5 * sum } else { 3.0 };
                        assert_eq!(*value, expected, "{depth} deep, row {row}, column {column} of {columns}");
                    }
                }
            }
        }
    }
}
