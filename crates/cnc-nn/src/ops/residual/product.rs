//! The two matrix products that a convolution is made of, on rows that lie anywhere in memory: so no copy of the image is
//! unfolded. Both copy as much of their factors as the caches hold to where the micro-kernel wants it.

use std::cell::Cell;
use std::ops::Range;

use crate::ops::blocks::for_each_chunk;
use crate::ops::microkernel::{PANEL, STRIP, Strip, Target, multiply_tile};
use crate::ops::simd::{Kernel, Simd};

/// Columns of a panel.
pub(super) const COLUMNS: usize = PANEL;
/// Values of a row that are multiplied at a time, at most: a panel and a strip of this depth stay in the first-level cache.
const DEPTH: usize = 256;
/// Values from one row of a strip to the next: so many more that the rows do not fall into the same few sets of the cache.
const PITCH: usize = DEPTH + 16;

thread_local! {
    /// What a thread copies factors to; any values.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The thread's scratch, to be put back, with room for `len` values.
fn take_scratch(len: usize) -> Vec<f32> {
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    scratch
}

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

    /// Copies these columns of the left matrix to rows [`PITCH`] values from each other.
    #[inline(always)]
    fn gather(&self, columns: &Range<usize>, out: &mut [f32]) {
        let Self { values, starts, taps, depth, .. } = self;
        for (starts, row) in starts.chunks_exact(*taps).zip(out.chunks_exact_mut(PITCH)) {
            let mut column = columns.start;
            while column < columns.end {
                let (tap, within) = (column / *depth, column % *depth);
                let count = (*depth - within).min(columns.end - column);
                let from = &values[starts[tap] + within..][..count];
                row[column - columns.start..][..count].copy_from_slice(from);
                column += count;
            }
        }
    }
}

impl Kernel for GatherProduct<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.check();
        let mut scratch = take_scratch(self.targets.len().next_multiple_of(STRIP) * PITCH);
        let (deep, columns) = (self.taps * self.depth, self.panels.columns);
        let parts = deep.div_ceil(DEPTH);
        for part in 0..parts {
            let depth = part * deep / parts..(part + 1) * deep / parts;
            self.gather(&depth, &mut scratch);
            let add = part > 0 || self.destination == Destination::Add;
            for panel in 0..columns.div_ceil(COLUMNS) {
                let first = panel * COLUMNS;
                let start = panel * self.panels.stride + depth.start * COLUMNS;
                let values = &self.panels.values[start..start + depth.len() * COLUMNS];
                for (strip, targets) in scratch.chunks_exact(STRIP * PITCH).zip(self.targets.chunks(STRIP)) {
                    let out = self.out.as_mut_ptr();
                    // SAFETY: `check` has compared the ends of all rows with the result, which is ours alone.
                    unsafe {
                        let rows: [*mut f32; STRIP] =
                            std::array::from_fn(|i| out.add(targets[i.min(targets.len() - 1)] + first));
                        let rows = &rows[..targets.len()];
                        let target = &Target {
                            rows,
                            columns: COLUMNS.min(columns - first),
                            scale: 1.0,
                            add,
                            ahead: std::ptr::null(),
                        };
                        multiply_tile(simd, Strip::<PITCH, 1>(strip), values, target);
                    }
                }
            }
        }
        SCRATCH.set(scratch);
    }
}

/// `out += leftᵀ · right` over rows: row `r` of `left` is `left[left_starts[r]..][..outputs]`, row `r` of `right` is put
/// together from `taps` runs of `depth` values, the `t`-th of which starts at `right[right_starts[r * taps + t]]` and has
/// [`COLUMNS`] values of anything behind it.
///
/// `out` is as [`OuterLayout`] has it. The left matrix is copied to strips of columns, the right one a panel at a time, as
/// both are read many times and their rows lie far from each other.
pub(super) struct GatherOuter<'a> {
    pub left: &'a [f32],
    pub left_starts: &'a [usize],
    pub right: &'a [f32],
    pub right_starts: &'a [usize],
    pub layout: OuterLayout,
    pub out: &'a mut [f32],
}

/// An `outputs` x `taps * depth` matrix as panels of [`COLUMNS`] columns that do not reach over a tap, row after row.
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
        self.outputs * COLUMNS
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
        let Self { left, left_starts, right, right_starts, layout, out } = self;
        let OuterLayout { outputs, taps, depth } = layout;
        let rows = left_starts.len();
        assert_eq!((right_starts.len(), out.len()), (taps * rows, layout.len()), "shapes of an outer product");
        assert!(left_starts.iter().all(|start| start + outputs <= left.len()), "a row ends behind the left values");
        let reach = depth.next_multiple_of(COLUMNS);
        assert!(right_starts.iter().all(|start| start + reach <= right.len()), "a row ends behind the right values");

        let strips = outputs.div_ceil(STRIP);
        let mut scratch = take_scratch(rows * (strips * STRIP + COLUMNS));
        let (lefts, panel) = scratch.split_at_mut(rows * strips * STRIP);
        let panel = &mut panel[..rows * COLUMNS];
        for (row, start) in left_starts.iter().enumerate() {
            let (whole, rest) = left[*start..start + outputs].as_chunks::<STRIP>();
            for (strip, values) in whole.iter().enumerate() {
                lefts[(strip * rows + row) * STRIP..][..STRIP].copy_from_slice(values);
            }
            if !rest.is_empty() {
                lefts[((strips - 1) * rows + row) * STRIP..][..rest.len()].copy_from_slice(rest);
            }
        }
        let tiles = out.chunks_exact_mut(layout.panel_len().max(1));
        let columns = (0..taps).flat_map(|tap| (0..depth).step_by(COLUMNS).map(move |column| (tap, column)));
        for ((tap, column), out) in columns.zip(tiles) {
            for (panel, starts) in panel.chunks_exact_mut(COLUMNS).zip(right_starts.chunks_exact(taps)) {
                panel.copy_from_slice(&right[starts[tap] + column..][..COLUMNS]);
            }
            let strips = lefts.chunks_exact((rows * STRIP).max(1));
            for (left, out) in strips.zip(out.chunks_mut(STRIP * COLUMNS)) {
                let (first, count) = (out.as_mut_ptr(), out.len() / COLUMNS);
                let rows: [*mut f32; STRIP] = std::array::from_fn(|i| first.wrapping_add(i * COLUMNS));
                let target =
                    &Target { rows: &rows[..count], columns: COLUMNS, scale: 1.0, add: true, ahead: std::ptr::null() };
                // SAFETY: the rows are those of `out`, each with all columns.
                unsafe { multiply_tile(simd, Strip::<1, STRIP>(left), panel, target) };
            }
        }
        SCRATCH.set(scratch);
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
            dispatch(GatherOuter { left, left_starts, right, right_starts, layout, out: &mut out });
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
