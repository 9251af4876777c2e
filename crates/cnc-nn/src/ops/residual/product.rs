//! The two matrix products that a convolution is made of, on rows that lie anywhere in memory: so no copy of the image is
//! unfolded. Both keep a tile of [`ROWS`] x [`COLUMNS`] results in registers.

use std::ops::Range;

use crate::ops::blocks::for_each_chunk;
use crate::ops::simd::{Kernel, LANES, Simd};

/// Rows of a tile: with two vectors each, twelve of the sixteen registers of AVX2. AVX-512, with one vector each, takes two
/// tiles at a time.
const ROWS: usize = 6;
/// Columns of a tile.
pub(super) const COLUMNS: usize = 2 * LANES;
/// Values of a row that are multiplied at a time: a panel of this depth stays in the first-level cache.
const DEPTH: usize = 256;

/// What becomes of the values that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Overwrite,
    Add,
}

/// A matrix as panels of [`COLUMNS`] columns, each panel row after row; the last one is filled up with zeros.
pub(super) struct Panels {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// A `rows` x `columns` matrix whose panels are written by `panel(first column, columns, values)`: value `(row, column)`
    /// of the panel is at `row * COLUMNS + column`. Threads share the panels.
    pub fn new(rows: usize, columns: usize, panel: impl Fn(usize, usize, &mut [f32]) + Sync) -> Self {
        let mut values = vec![0.0; rows * columns.next_multiple_of(COLUMNS)];
        let len = (rows * COLUMNS).max(1);
        for_each_chunk(&mut values, len, rows * columns, |i, values| {
            panel(i * COLUMNS, COLUMNS.min(columns - i * COLUMNS), values);
        });
        Self { values, rows, columns }
    }
}

/// A matrix as [`Panels`] has it, with other values between its panels.
#[derive(Clone, Copy)]
pub(super) struct PanelView<'a> {
    /// From the first panel on.
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    /// Values from one panel to the next.
    pub stride: usize,
}

impl Panels {
    pub fn view(&self) -> PanelView<'_> {
        PanelView { values: &self.values, rows: self.rows, columns: self.columns, stride: self.rows * COLUMNS }
    }
}

/// `out = rows · panels`: row `r` of the left matrix is put together from `taps` runs of `depth` values, the `t`-th of which
/// starts at `values[starts[r * taps + t]]`; row `r` of the result starts at `out[targets[r]]`.
pub(super) struct GatherProduct<'a> {
    pub values: &'a [f32],
    pub starts: &'a [usize],
    pub taps: usize,
    pub depth: usize,
    pub panels: PanelView<'a>,
    pub out: &'a mut [f32],
    pub targets: &'a [usize],
    pub destination: Destination,
}

impl GatherProduct<'_> {
    fn check(&self) {
        let Self { values, starts, taps, depth, panels, out, targets, .. } = self;
        assert_eq!((panels.rows, starts.len()), (taps * depth, taps * targets.len()), "shapes of a gathered product");
        assert!(starts.iter().all(|start| start + depth <= values.len()), "a row ends behind the values");
        assert!(targets.iter().all(|target| target + panels.columns <= out.len()), "a row ends behind the result");
    }
}

impl Kernel for GatherProduct<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.check();
        let (taps, depth, columns) = (self.taps, self.depth, self.panels.columns);
        let mut first = true;
        // Several short runs together, or parts of a long one: about as deep as the panel that stays in the cache.
        let together = (DEPTH / depth.max(1)).max(1);
        for tap in (0..taps).step_by(together) {
            for at in (0..depth).step_by(DEPTH) {
                let taps = tap..(tap + together).min(taps);
                let add = !first || self.destination == Destination::Add;
                let run = &Run { taps, at, len: DEPTH.min(depth - at), add };
                first = false;
                let (panels, mut panel) = (columns.div_ceil(COLUMNS), 0);
                while S::TALL && panel + 2 <= panels {
                    let mut row = 0;
                    while row + 2 * ROWS <= self.targets.len() {
                        self.tile::<S, { 2 * ROWS }, 2>(simd, run, panel, row);
                        row += 2 * ROWS;
                    }
                    self.column_of_tiles(simd, run, panel, row);
                    self.column_of_tiles(simd, run, panel + 1, row);
                    panel += 2;
                }
                for panel in panel..panels {
                    self.column_of_tiles(simd, run, panel, 0);
                }
            }
        }
    }
}

/// A part of the rows of the left matrix.
struct Run {
    taps: Range<usize>,
    at: usize,
    len: usize,
    add: bool,
}

impl GatherProduct<'_> {
    /// All rows from `row` on, in tiles one panel wide.
    #[inline(always)]
    fn column_of_tiles<S: Simd>(&mut self, simd: S, run: &Run, panel: usize, mut row: usize) {
        while S::TALL && row + 2 * ROWS <= self.targets.len() {
            self.tile::<S, { 2 * ROWS }, 1>(simd, run, panel, row);
            row += 2 * ROWS;
        }
        while row + ROWS <= self.targets.len() {
            self.tile::<S, ROWS, 1>(simd, run, panel, row);
            row += ROWS;
        }
        match self.targets.len() - row {
            1 => self.tile::<S, 1, 1>(simd, run, panel, row),
            2 => self.tile::<S, 2, 1>(simd, run, panel, row),
            3 => self.tile::<S, 3, 1>(simd, run, panel, row),
            4 => self.tile::<S, 4, 1>(simd, run, panel, row),
            5 => self.tile::<S, 5, 1>(simd, run, panel, row),
            _ => {}
        }
    }

    /// `M` rows by `P` panels.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const P: usize>(&mut self, simd: S, run: &Run, panel: usize, row: usize) {
        let Self { values, starts, taps, depth, panels, out, targets, .. } = self;
        let mut sums = [[simd.wide_splat(0.0); M]; P];
        for tap in run.taps.clone() {
            let from: [usize; M] = std::array::from_fn(|i| starts[(row + i) * *taps + tap] + run.at);
            let weights: [&[f32]; P] = std::array::from_fn(|p| {
                let start = (panel + p) * panels.stride + (tap * *depth + run.at) * COLUMNS;
                &panels.values[start..start + run.len * COLUMNS]
            });
            for k in 0..run.len {
                // SAFETY: `check` has compared all starts with the values, `weights` have `len` rows.
                unsafe {
                    let weights = weights.map(|weights| simd.wide_load(weights, k * COLUMNS));
                    for (i, from) in from.into_iter().enumerate() {
                        let value = simd.wide_broadcast(values, from + k);
                        for (sums, weights) in sums.iter_mut().zip(weights) {
                            sums[i] = simd.wide_multiply_add(value, weights, sums[i]);
                        }
                    }
                }
            }
        }
        for (panel, sums) in (panel..).zip(sums) {
            let to = std::array::from_fn(|i| targets[row + i] + panel * COLUMNS);
            put(simd, sums, out, to, panels.columns - panel * COLUMNS, run.add);
        }
    }
}

/// `out += leftᵀ · right` over rows: row `r` of `left` is `left[left_starts[r]..][..outputs]`, row `r` of `right` is put
/// together from `taps` runs of `depth` values, the `t`-th of which starts at `right[right_starts[r * taps + t]]` and has
/// [`COLUMNS`] values of anything behind it.
///
/// `out` is as [`OuterLayout`] has it. The left matrix is copied to strips of [`ROWS`] columns, the right one a panel at a
/// time, as both are read many times and their rows lie far from each other.
pub(super) struct GatherOuter<'a> {
    pub left: &'a [f32],
    pub left_starts: &'a [usize],
    pub right: &'a [f32],
    pub right_starts: &'a [usize],
    pub layout: OuterLayout,
    pub out: &'a mut [f32],
    /// Any values; kept by the caller so that it is not made each time.
    pub scratch: &'a mut Vec<f32>,
}

/// An `outputs` x `taps * depth` matrix as panels of [`COLUMNS`] columns that do not reach over a tap, row after row, with
/// rows of zeros to a multiple of [`ROWS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct OuterLayout {
    pub outputs: usize,
    pub taps: usize,
    pub depth: usize,
}

impl OuterLayout {
    pub fn len(self) -> usize {
        self.taps * self.depth.div_ceil(COLUMNS) * self.panel_len()
    }

    fn panel_len(self) -> usize {
        self.outputs.next_multiple_of(ROWS) * COLUMNS
    }

    /// The values of a row that are in a panel.
    pub fn panel_row(self, values: &[f32], panel: usize, output: usize) -> &[f32] {
        &values[panel * self.panel_len() + output * COLUMNS..][..COLUMNS]
    }

    /// Calls `run(column, values)` for all values of a row that lie beside each other.
    pub fn for_each_run(self, values: &[f32], output: usize, mut run: impl FnMut(usize, &[f32])) {
        let panels = self.depth.div_ceil(COLUMNS);
        for (panel, values) in values.chunks_exact(self.panel_len().max(1)).enumerate() {
            let (tap, column) = (panel / panels, panel % panels * COLUMNS);
            let columns = COLUMNS.min(self.depth - column);
            run(tap * self.depth + column, &values[output * COLUMNS..][..columns]);
        }
    }
}

impl Kernel for GatherOuter<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { left, left_starts, right, right_starts, layout, out, scratch } = self;
        let OuterLayout { outputs, taps, depth } = layout;
        let rows = left_starts.len();
        assert_eq!((right_starts.len(), out.len()), (taps * rows, layout.len()), "shapes of an outer product");
        assert!(left_starts.iter().all(|start| start + outputs <= left.len()), "a row ends behind the left values");
        let reach = depth.next_multiple_of(COLUMNS);
        assert!(right_starts.iter().all(|start| start + reach <= right.len()), "a row ends behind the right values");

        let strips = outputs.div_ceil(ROWS);
        scratch.resize(scratch.len().max(rows * (strips * ROWS + COLUMNS)), 0.0);
        let (lefts, panel) = scratch.split_at_mut(rows * strips * ROWS);
        for (row, start) in left_starts.iter().enumerate() {
            let (whole, rest) = left[*start..start + outputs].as_chunks::<ROWS>();
            for (strip, values) in whole.iter().enumerate() {
                lefts[(strip * rows + row) * ROWS..][..ROWS].copy_from_slice(values);
            }
            if !rest.is_empty() {
                let to = &mut lefts[((strips - 1) * rows + row) * ROWS..][..ROWS];
                to[..rest.len()].copy_from_slice(rest);
                to[rest.len()..].fill(0.0);
            }
        }
        let tiles = out.chunks_exact_mut(layout.panel_len().max(1));
        let columns = (0..taps).flat_map(|tap| (0..depth).step_by(COLUMNS).map(move |column| (tap, column)));
        for ((tap, column), out) in columns.zip(tiles) {
            for (panel, starts) in panel.chunks_exact_mut(COLUMNS).zip(right_starts.chunks_exact(taps)) {
                panel.copy_from_slice(&right[starts[tap] + column..][..COLUMNS]);
            }
            let panel = &panel[..rows * COLUMNS];
            let (strip_len, tile_len) = (rows * ROWS, ROWS * COLUMNS);
            let mut strip = 0;
            while S::TALL && strip + 2 <= strips {
                let (first, second) = lefts[strip * strip_len..(strip + 2) * strip_len].split_at(strip_len);
                let out = &mut out[strip * tile_len..(strip + 2) * tile_len];
                outer_tiles::<S, 2, { 2 * ROWS }>(simd, [first, second], panel, out);
                strip += 2;
            }
            for strip in strip..strips {
                let left = &lefts[strip * strip_len..(strip + 1) * strip_len];
                outer_tiles::<S, 1, ROWS>(simd, [left], panel, &mut out[strip * tile_len..(strip + 1) * tile_len]);
            }
        }
    }
}

/// Adds the product of strips of [`ROWS`] columns, transposed, and a panel to the `M` rows of their tiles in `out`.
#[inline(always)]
fn outer_tiles<S: Simd, const STRIPS: usize, const M: usize>(
    simd: S,
    strips: [&[f32]; STRIPS],
    panel: &[f32],
    out: &mut [f32],
) {
    let rows = panel.len() / COLUMNS;
    assert!(STRIPS * ROWS == M && strips.iter().all(|strip| strip.len() == rows * ROWS), "strips as long as the panel");
    let mut sums = [simd.wide_splat(0.0); M];
    for k in 0..rows {
        // SAFETY: each strip has `rows` times `ROWS` values, the panel `rows` times `COLUMNS`.
        unsafe {
            let right = simd.wide_load(panel, k * COLUMNS);
            for (strip, sums) in strips.iter().zip(sums.chunks_exact_mut(ROWS)) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.wide_multiply_add(simd.wide_broadcast(strip, k * ROWS + i), right, *sum);
                }
            }
        }
    }
    put(simd, sums, out, std::array::from_fn(|i| i * COLUMNS), COLUMNS, true);
}

/// Writes or adds a tile to `out`: its rows start at `to`, and of its columns the first `columns` are there.
#[inline(always)]
fn put<S: Simd, const M: usize>(
    simd: S,
    sums: [S::Wide; M],
    out: &mut [f32],
    to: [usize; M],
    columns: usize,
    add: bool,
) {
    let one = simd.wide_splat(1.0);
    for (sum, to) in sums.into_iter().zip(to) {
        if columns >= COLUMNS {
            assert!(to + COLUMNS <= out.len(), "a tile ends behind the result");
            // SAFETY: just compared with the length.
            unsafe {
                let sum = if add { simd.wide_multiply_add(simd.wide_load(out, to), one, sum) } else { sum };
                simd.wide_store(sum, out, to);
            }
        } else {
            let mut values = [0.0; COLUMNS];
            // SAFETY: there are as many values as a tile has columns.
            unsafe { simd.wide_store(sum, &mut values, 0) };
            for (out, sum) in out[to..to + columns].iter_mut().zip(values) {
                *out = if add { *out + sum } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::dispatch;

    /// Whole numbers, so that no sum is rounded.
    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + i / 5) % 13) as f32 - 6.0).collect()
    }

    #[test]
    fn a_gathered_product_is_the_sum_over_taps_and_depth_at_every_size() {
        for (rows, taps, depth, columns) in
            [(1, 1, 1, 1), (7, 2, 3, 17), (13, 3, 300, 40), (6, 1, 256, 16), (11, 2, 5, 31)]
        {
            let values = numbers(rows * 3 + depth + 50);
            let weights = numbers(taps * depth * columns);
            let starts: Vec<usize> = (0..rows * taps).map(|i| (i * 5) % (rows * 3 + 40)).collect();
            let targets: Vec<usize> = (0..rows).rev().map(|row| row * (columns + 2)).collect();
            let panels = Panels::new(taps * depth, columns, |first, count, out| {
                for (row, out) in out.chunks_exact_mut(COLUMNS).enumerate() {
                    out[..count].copy_from_slice(&weights[row * columns + first..][..count]);
                }
            });
            for destination in [Destination::Overwrite, Destination::Add] {
                let mut out = vec![1.0; rows * (columns + 2)];
                let mut expected = out.clone();
                for (row, target) in targets.iter().enumerate() {
                    for column in 0..columns {
                        let terms = (0..taps * depth).map(|k| {
                            values[starts[row * taps + k / depth] + k % depth] * weights[k * columns + column]
                        });
                        let old = if destination == Destination::Add { expected[target + column] } else { 0.0 };
                        expected[target + column] = old + terms.sum::<f32>();
                    }
                }
                let (out_slice, panels) = (&mut out[..], panels.view());
                let (values, starts, targets) = (&values[..], &starts[..], &targets[..]);
                dispatch(GatherProduct { values, starts, taps, depth, panels, out: out_slice, targets, destination });
                assert_eq!(out, expected, "{rows} rows, {taps} x {depth} deep, {columns} columns");
            }
        }
    }

    #[test]
    fn a_gathered_outer_product_is_the_sum_over_rows_at_every_size() {
        for (rows, taps, depth, outputs) in [(1, 1, 1, 1), (9, 2, 21, 7), (30, 3, 16, 13), (5, 1, 40, 6)] {
            let (left, right) = (numbers(rows * 2 + outputs), numbers(rows * 3 + depth + 60));
            let left_starts: Vec<usize> = (0..rows).map(|row| row * 2).collect();
            let right_starts: Vec<usize> = (0..rows * taps).map(|i| (i * 5) % (rows * 3 + 40)).collect();
            let layout = OuterLayout { outputs, taps, depth };
            let mut out = vec![2.0; layout.len()];
            let (left, left_starts, right, right_starts) = (&left, &left_starts, &right, &right_starts);
            let scratch = &mut Vec::new();
            dispatch(GatherOuter { left, left_starts, right, right_starts, layout, out: &mut out, scratch });
            for output in 0..outputs {
                let mut row = vec![0.0; taps * depth];
                layout.for_each_run(&out, output, |at, values| row[at..at + values.len()].copy_from_slice(values));
                for (i, value) in row.into_iter().enumerate() {
                    let (tap, column) = (i / depth, i % depth);
                    let term = |r: usize| left[left_starts[r] + output] * right[right_starts[r * taps + tap] + column];
                    assert_eq!(value, 2.0 + (0..rows).map(term).sum::<f32>(), "{rows} rows, {layout:?}");
                }
            }
        }
    }
}
