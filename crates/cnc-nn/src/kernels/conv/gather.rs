//! The two matrix products that a convolution is made of, on rows that lie anywhere in memory: so no copy of the image is
//! unfolded. Both copy as much of their factors as the caches hold to where the micro-kernel wants it.

use std::ops::Range;

use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::microkernel::{AHEAD, LINE, LINES, Panel, STRIP, Strip, Target, multiply_tile};
use crate::kernels::parallel::for_each_chunk;
use crate::kernels::scratch;
use crate::kernels::simd::{Kernel, Simd, WIDE, shape};

/// Values of a gathered row that are copied at a time, at most: a panel and a strip of this depth stay in the first-level
/// cache.
const DEPTH: usize = 256;
/// Values from one copied row to the next: so many more that the rows do not fall into the same few sets of the cache.
const PITCH: usize = DEPTH + 16;
/// Rows of the left factor of an outer product that are copied side by side.
const TOGETHER: usize = 8;
/// Rows that the processor is asked for ahead of the one that is copied.
const ROWS_AHEAD: usize = 4;

/// A matrix as panels of as many columns as the instruction set wants, each panel row after row; the last one is filled up
/// with zeros.
pub(crate) struct Panels {
    values: Buffer,
    rows: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
}

impl Panels {
    /// A `rows` x `columns` matrix whose panels are written by `panel(width, columns, values)`: value `(row, column)` of the panel is
    /// at `row * width + column`. Threads share the panels.
    pub fn new(rows: usize, columns: usize, panel: impl Fn(usize, Range<usize>, &mut [f32]) + Sync) -> Self {
        let width = shape().panel;
        let mut values = Buffer::any(rows * columns.next_multiple_of(width));
        let len = (rows * width).max(1);
        for_each_chunk(&mut values, len, rows * columns, |i, values| {
            let own = i * width..columns.min((i + 1) * width);
            if own.len() < width {
                values.fill(0.0);
            }
            panel(width, own, values);
        });
        Self { values, rows, columns, width }
    }
}

/// A matrix as [`Panels`] has it, with other values between its panels.
#[derive(Clone, Copy)]
pub(crate) struct PanelView<'a> {
    /// From the first panel on.
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    /// Columns of a panel.
    pub width: usize,
    /// Values from one panel to the next.
    pub stride: usize,
}

impl Panels {
    pub fn view(&self) -> PanelView<'_> {
        let Self { values, rows, columns, width } = self;
        PanelView { values, rows: *rows, columns: *columns, width: *width, stride: rows * width }
    }
}

/// A matrix whose rows lie in pieces: row `r` is put together from `taps` runs of `depth` values, the `t`-th of which starts at
/// `values[starts[r * taps + t]]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub starts: &'a [usize],
    pub taps: usize,
    pub depth: usize,
}

impl Rows<'_> {
    fn columns(&self) -> usize {
        self.taps * self.depth
    }

    fn check(&self, rows: usize) {
        let Self { values, starts, taps, depth } = self;
        assert_eq!(starts.len(), taps * rows, "runs of gathered rows");
        assert!(starts.iter().all(|start| start + depth <= values.len()), "a row ends behind the values");
    }

    /// Copies some of the columns, at most [`DEPTH`], to rows [`PITCH`] values from each other.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, columns: &Range<usize>, out: &mut [f32]) {
        let Self { values, starts, taps, depth } = self;
        let (tap, within) = (columns.start / depth, columns.start % depth);
        for (row, out) in out.chunks_exact_mut(PITCH).take(starts.len() / taps).enumerate() {
            if let Some(start) = starts.get((row + ROWS_AHEAD) * taps + tap) {
                for at in (0..columns.len().min(depth - within)).step_by(WIDE) {
                    simd.prefetch(values.as_ptr().wrapping_add(start + within + at));
                }
            }
            let (mut within, mut out) = (within, &mut out[..columns.len()]);
            for start in &starts[row * taps + tap..(row + 1) * taps] {
                let (to, rest) = out.split_at_mut((depth - within).min(out.len()));
                copy(simd, &values[start + within..][..to.len()], to);
                (within, out) = (0, rest);
                if out.is_empty() {
                    break;
                }
            }
        }
    }
}

/// Copies short runs: a call of the library's routine takes longer than these few vectors.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "as many values as there are places");
    if to.len() < WIDE {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        return;
    }
    let last = to.len() - WIDE;
    for at in (0..last).step_by(WIDE).chain([last]) {
        // SAFETY: a vector that starts at `last` or before ends within both.
        unsafe { simd.wide_store(simd.wide_load(from, at), to, at) };
    }
}

/// `out = rows · panels`: row `r` of the result starts at `out[targets[r]]`.
pub(crate) struct GatherProduct<'a> {
    pub rows: Rows<'a>,
    pub panels: PanelView<'a>,
    pub out: &'a mut [f32],
    pub targets: &'a [usize],
    pub destination: Destination,
}

impl Kernel for GatherProduct<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::TALL { self.product::<S, { 2 * WIDE }>(simd) } else { self.product::<S, WIDE>(simd) }
    }
}

impl GatherProduct<'_> {
    /// With panels of `WIDTH` columns.
    #[inline(always)]
    fn product<S: Simd, const WIDTH: usize>(self, simd: S) {
        let Self { rows, panels, out, targets, destination } = self;
        rows.check(targets.len());
        assert_eq!((panels.rows, panels.width), (rows.columns(), WIDTH), "shapes of a gathered product");
        assert!(targets.iter().all(|target| target + panels.columns <= out.len()), "a row ends behind the result");
        let mut scratch = scratch::take(targets.len().next_multiple_of(STRIP) * PITCH);
        let (deep, columns) = (rows.columns(), panels.columns);
        let parts = deep.div_ceil(DEPTH);
        for part in 0..parts {
            let depth = part * deep / parts..(part + 1) * deep / parts;
            rows.gather(simd, &depth, &mut scratch);
            let add = part > 0 || destination == Destination::Add;
            for panel in 0..columns.div_ceil(WIDTH) {
                let first = panel * WIDTH;
                let start = panel * panels.stride + depth.start * WIDTH;
                let values = &panels.values[start..start + depth.len() * WIDTH];
                let panel = Panel::<WIDTH> { values, rows: depth.len() };
                // With each strip a part of the next panel is prefetched.
                let mut ahead = panels.values.as_ptr().wrapping_add(start + panels.stride);
                for (strip, targets) in scratch.chunks_exact(STRIP * PITCH).zip(targets.chunks(STRIP)) {
                    let out = out.as_mut_ptr();
                    // SAFETY: the ends of all rows have been compared with the result, which is ours alone.
                    unsafe {
                        let rows: [*mut f32; STRIP] =
                            std::array::from_fn(|i| out.add(targets[i.min(targets.len() - 1)] + first));
                        let rows = &rows[..targets.len()];
                        let target = &Target { rows, columns: WIDTH.min(columns - first), add, ahead };
                        multiply_tile(simd, Strip::<PITCH, 1>(strip), panel, target);
                    }
                    ahead = ahead.wrapping_add(depth.len() / AHEAD * LINES * LINE);
                }
            }
        }
        scratch::put(scratch);
    }
}

/// `out = leftᵀ · right` over rows, or added to it: row `r` of `left` is `left[left_starts[r]..][..outputs]`.
///
/// `out` is as [`OuterLayout`] has it. The left matrix is copied to strips of columns, the right one [`DEPTH`] columns at a
/// time, as both are read many times and their rows lie far from each other.
pub(crate) struct GatherOuter<'a> {
    pub left: &'a [f32],
    pub left_starts: &'a [usize],
    pub right: Rows<'a>,
    pub layout: OuterLayout,
    pub out: &'a mut [f32],
    pub destination: Destination,
}

/// An `outputs` x `columns` matrix as panels of as many columns as the instruction set wants, each row after row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OuterLayout {
    outputs: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
}

impl OuterLayout {
    pub fn new(outputs: usize, columns: usize) -> Self {
        Self { outputs, columns, width: shape().panel }
    }

    pub fn len(self) -> usize {
        self.columns.div_ceil(self.width) * self.panel_len()
    }

    fn panel_len(self) -> usize {
        self.outputs * self.width
    }

    /// The parts of a row: the column that each starts with, and its values.
    pub fn row(self, values: &[f32], output: usize) -> impl Iterator<Item = (usize, &[f32])> {
        (0..self.columns).step_by(self.width).map(move |first| (first, self.row_from(values, output, first)))
    }

    /// The values of a row from a column on, to the end of its panel.
    pub fn row_from(self, values: &[f32], output: usize, column: usize) -> &[f32] {
        let (panel, within) = (column / self.width, column % self.width);
        let end = self.width.min(self.columns - panel * self.width);
        &values[panel * self.panel_len() + output * self.width..][within..end]
    }
}

impl Kernel for GatherOuter<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { left, left_starts, right, layout, out, destination } = self;
        let (outputs, rows, width) = (layout.outputs, left_starts.len(), S::SHAPE.panel);
        assert_eq!(layout.width, width, "columns of a panel");
        right.check(rows);
        assert_eq!((right.columns(), out.len()), (layout.columns, layout.len()), "shapes of an outer product");
        assert!(left_starts.iter().all(|start| start + outputs <= left.len()), "a row ends behind the left values");

        let strips = outputs.div_ceil(STRIP);
        let mut scratch = scratch::take(rows * (strips * STRIP + PITCH));
        let (lefts, rights) = scratch.split_at_mut(rows * strips * STRIP);
        // Some rows at a time, so that whole lines of the cache are written.
        for (group, starts) in left_starts.chunks(TOGETHER).enumerate() {
            for (strip, out) in lefts.chunks_exact_mut((rows * STRIP).max(1)).enumerate() {
                let (first, out) = (strip * STRIP, &mut out[group * TOGETHER * STRIP..]);
                let count = STRIP.min(outputs - first);
                for (start, out) in starts.iter().zip(out.chunks_exact_mut(STRIP)) {
                    let values = &left[start + first..start + first + count];
                    match (values.as_array::<STRIP>(), out.as_mut_array::<STRIP>()) {
                        (Some(values), Some(out)) => *out = *values,
                        _ => out[..count].copy_from_slice(values),
                    }
                }
            }
        }
        let add = destination == Destination::Add;
        let together = (layout.panel_len() * (DEPTH / width)).max(1);
        for (out, first) in out.chunks_mut(together).zip((0..).step_by(DEPTH)) {
            right.gather(simd, &(first..(first + DEPTH).min(layout.columns)), rights);
            for (out, column) in out.chunks_exact_mut(layout.panel_len()).zip((0..).step_by(width)) {
                let panel = Panel::<PITCH> { values: &rights[column..], rows };
                let strips = lefts.chunks_exact((rows * STRIP).max(1));
                for (left, out) in strips.zip(out.chunks_mut(STRIP * width)) {
                    let (first, count) = (out.as_mut_ptr(), out.len() / width);
                    let rows: [*mut f32; STRIP] = std::array::from_fn(|i| first.wrapping_add(i * width));
                    // Columns that are not there get any values.
                    let target = &Target { rows: &rows[..count], columns: width, add, ahead: first };
                    // SAFETY: the rows are those of `out`, each with all columns.
                    unsafe { multiply_tile(simd, Strip::<1, STRIP>(left), panel, target) };
                }
            }
        }
        scratch::put(scratch);
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;
    use crate::kernels::simd::{InstructionSet, dispatch, with_each_set};

    /// Whole numbers, so that no sum is rounded.
    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + i / 5) % 13) as f32 - 6.0).collect()
    }

    #[test]
    fn a_gathered_product_is_the_sum_over_taps_and_depth_at_every_size() {
        with_each_set(|| {
            for (rows, taps, depth, columns) in
                [(1, 1, 1, 1), (7, 2, 3, 17), (13, 3, 300, 40), (6, 1, 256, 16), (11, 2, 5, 31)]
            {
                let values = numbers(rows * 3 + depth + 50);
                let weights = numbers(taps * depth * columns);
                let starts: Vec<usize> = (0..rows * taps).map(|i| (i * 5) % (rows * 3 + 40)).collect();
                let targets: Vec<usize> = (0..rows).rev().map(|row| row * (columns + 2)).collect();
                let panels = Panels::new(taps * depth, columns, |width, own, out| {
                    for (row, out) in out.chunks_exact_mut(width).enumerate() {
                        out[..own.len()].copy_from_slice(&weights[row * columns..][own.clone()]);
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
                    let gathered = Rows { values, starts, taps, depth };
                    dispatch(GatherProduct { rows: gathered, panels, out: out_slice, targets, destination });
                    assert_eq!(out, expected, "{rows} rows, {taps} x {depth} deep, {columns} columns");
                }
            }
        });
    }

    #[test]
    fn a_gathered_outer_product_is_the_sum_over_rows_at_every_size() {
        with_each_set(|| {
            for (rows, taps, depth, outputs) in
                [(1, 1, 1, 1), (9, 2, 21, 7), (30, 3, 16, 13), (5, 1, 40, 6), (4, 2, 150, 14)]
            {
                let (left, right) = (numbers(rows * 2 + outputs), numbers(rows * 3 + depth + 60));
                let left_starts: Vec<usize> = (0..rows).map(|row| row * 2).collect();
                let right_starts: Vec<usize> = (0..rows * taps).map(|i| (i * 5) % (rows * 3 + 40)).collect();
                let layout = OuterLayout::new(outputs, taps * depth);
                let mut out = vec![2.0; layout.len()];
                let gathered = Rows { values: &right, starts: &right_starts, taps, depth };
                for (destination, times) in [(Destination::Overwrite, 1.0), (Destination::Add, 2.0)] {
                    let (left, left_starts, right) = (&left, &left_starts, gathered);
                    dispatch(GatherOuter { left, left_starts, right, layout, out: &mut out, destination });
                    for output in 0..outputs {
                        let row: Vec<f32> = layout.row(&out, output).flat_map(|(_, values)| values).copied().collect();
                        for (i, value) in row.into_iter().enumerate() {
                            let (tap, column) = (i / depth, i % depth);
                            let term = |r: usize| {
                                left[left_starts[r] + output] * right.values[right_starts[r * taps + tap] + column]
                            };
                            assert_eq!(value, times * (0..rows).map(term).sum::<f32>(), "{rows} rows, {layout:?}");
                        }
                    }
                }
            }
        });
    }

    /// Multiplications and additions of [`CHAINS`] sums that do not leave the registers.
    struct Registers;

    /// Sums of wide vectors that do not wait for each other; where there are registers for more, a few are enough too.
    const CHAINS: usize = 6;
    const ROUNDS: usize = 1 << 13;

    impl Kernel for Registers {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (factor, summand) = (simd.wide_splat(black_box(0.5)), simd.wide_splat(1.0));
            let mut sums = [summand; CHAINS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = simd.wide_multiply_add(*sum, factor, summand);
                }
            }
            let mut values = [0.0; WIDE];
            // SAFETY: there are as many values as lanes.
            sums.iter().for_each(|sum| unsafe { simd.wide_store(*sum, black_box(&mut values), 0) });
        }
    }

    /// Operations a second at best of many short runs, so that one of them is not disturbed.
    fn rate(operations: usize, work: impl Fn()) -> f64 {
        let least = (0..1000).map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        });
        operations as f64 / least.fold(f64::INFINITY, f64::min)
    }

    #[test]
    #[cfg_attr(debug_assertions, ignore = "measures speed: cargo test --release -p cnc-nn --lib")]
    fn a_tile_in_the_first_level_cache_keeps_its_sums_in_registers() {
        with_each_set(|| {
            if InstructionSet::current() == InstructionSet::Portable {
                return;
            }
            let peak = rate(2 * WIDE * CHAINS * ROUNDS, || dispatch(Registers));
            let (rows, depth, columns) = (STRIP, DEPTH, shape().panel);
            let (values, panels) = (numbers(rows * depth), Panels::new(depth, columns, |_, _, out| out.fill(1.0)));
            let starts: Vec<usize> = (0..rows).map(|row| row * depth).collect();
            let targets: Vec<usize> = (0..rows).map(|row| row * columns).collect();
            let product = rate(2 * rows * depth * columns, || {
                let rows = Rows { values: &values, starts: &starts, taps: 1, depth };
                let (panels, out) = (panels.view(), &mut [0.0; STRIP * 2 * WIDE][..]);
                dispatch(GatherProduct { rows, panels, out, targets: &targets, destination: Destination::Overwrite });
            });
            let share = product / peak;
            println!("{}: {:.0} % of the peak", InstructionSet::current(), 100.0 * share);
            // With copying the strip; sums that go to memory and back leave a third of it.
            assert!(share > 0.6, "{}: {share} of the peak", InstructionSet::current());
        });
    }
}
