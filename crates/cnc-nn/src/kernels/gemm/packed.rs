//! Factors of a product in the order that the microkernel reads them in, and products of them.
//!
//! The depth of a product is cut into blocks, so that a strip stays in the first-level cache, and some panels with the
//! strips of a tile in the second-level cache (Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix
//! Multiplication").

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::matrix::{Destination, Matrix, MatrixMut};
use crate::kernels::microkernel::{AHEAD, LINE, LINES, Panel, STRIP, Strip, Target, multiply_tile};
use crate::kernels::scratch;
use crate::kernels::simd::{Kernel, Simd, WIDE, dispatch, shape, transpose};

/// Rows whose strips are packed at a time.
const ROWS: usize = 22 * STRIP;
/// Panels that stay in the second-level cache while all strips of a tile are multiplied with them.
const GROUP: usize = 8;
/// Strips or panels that are packed side by side, so that a row is read in long runs.
const TOGETHER: usize = 4;

/// The blocks that a depth is cut into, about equally deep.
fn blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let count = depth.div_ceil(shape().depth);
    (0..count).map(move |i| i * depth / count..(i + 1) * depth / count)
}

/// Ranges of `step` up to `end`.
fn steps(end: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(step).map(move |start| start..(start + step).min(end))
}

/// A right-hand factor: block after block, in each panel after panel.
pub(crate) struct Panels {
    values: Vec<f32>,
    /// Where a line of the cache starts, and the first panel.
    start: usize,
    depth: usize,
    columns: usize,
    /// Columns of a panel.
    width: usize,
}

impl Panels {
    /// Packs a matrix on all threads.
    pub fn new(matrix: Matrix<'_>) -> Self {
        let (depth, columns, width) = (matrix.rows, matrix.columns, shape().panel);
        let count = depth * columns.next_multiple_of(width);
        let mut values = Vec::<f32>::with_capacity(count + LINE);
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        let (before, mut rest) = values.spare_capacity_mut()[..start + count].split_at_mut(start);
        before.fill(MaybeUninit::new(0.0));
        let mut parts = Vec::new();
        for block in blocks(depth) {
            for columns in steps(columns, TOGETHER * width) {
                let len = block.len() * columns.len().next_multiple_of(width);
                let (part, others) = rest.split_at_mut(len);
                parts.push((matrix.some_rows(&block).some_columns(&columns), part));
                rest = others;
            }
        }
        assert!(rest.is_empty(), "parts of a packed matrix");
        parts.into_par_iter().for_each(|(matrix, out)| dispatch(PackPanels { lines: matrix.transposed(), out }));
        // SAFETY: what is before the parts and the parts are all of the values, and `Pack` writes all that it is given.
        unsafe { values.set_len(start + count) };
        Self { values, start, depth, columns, width }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out (+)= lhs · these columns`, on this thread; `columns` start with a panel.
    pub fn multiply(&self, mut out: MatrixMut<'_>, lhs: Matrix<'_>, columns: &Range<usize>, mode: Destination) {
        assert!(columns.start.is_multiple_of(self.width) && columns.end <= self.columns, "panels of a matrix");
        let shapes = (out.rows, out.columns, lhs.columns);
        assert_eq!(shapes, (lhs.rows, columns.len(), self.depth), "shapes of a matrix product");
        let (width, end) = (self.columns.next_multiple_of(self.width), columns.end.next_multiple_of(self.width));
        let mut scratch = scratch::take(0);
        for block in blocks(self.depth) {
            let at = |column: usize| self.start + block.start * width + column * block.len();
            let panels = &self.values[at(columns.start)..at(end)];
            let add = block.start > 0 || mode == Destination::Add;
            multiply_block(out.reborrow(), lhs.some_columns(&block), panels, add, &mut scratch);
        }
        scratch::put(scratch);
    }
}

/// `out (+)= lhs · panels`, for factors as deep as a block.
fn multiply_block(mut out: MatrixMut<'_>, lhs: Matrix<'_>, panels: &[f32], add: bool, scratch: &mut Vec<f32>) {
    let depth = lhs.columns;
    for rows in steps(out.rows, ROWS) {
        let strips = lines(scratch, rows.len().next_multiple_of(STRIP) * depth);
        pack::<STRIP>(lhs.some_rows(&rows), strips);
        dispatch(Block { out: out.some_rows(&rows), strips, panels, depth, add });
    }
}

/// Any `len` values of `scratch` that start with a line of the cache.
fn lines(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    scratch::reserve(scratch, len + LINE);
    let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut scratch[start..start + len]
}

/// A product of packed factors, deeper than 0.
struct Block<'a> {
    out: MatrixMut<'a>,
    strips: &'a [f32],
    panels: &'a [f32],
    depth: usize,
    add: bool,
}

impl Kernel for Block<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::TALL { self.multiply::<S, { 2 * WIDE }>(simd) } else { self.multiply::<S, WIDE>(simd) }
    }
}

impl Block<'_> {
    /// With panels of `PANEL` columns.
    #[inline(always)]
    fn multiply<S: Simd, const PANEL: usize>(mut self, simd: S) {
        let Self { strips, panels, depth, add, .. } = self;
        let groups = (0..self.out.columns).step_by(GROUP * PANEL).zip(panels.chunks(GROUP * PANEL * depth));
        for (first, group) in groups {
            // While this group is multiplied, the next one is prefetched.
            let mut ahead = group.as_ptr_range().end;
            for (row, strip) in (0..self.out.rows).step_by(STRIP).zip(strips.chunks_exact(depth * STRIP)) {
                let mut starts = [std::ptr::null_mut(); STRIP];
                let count = STRIP.min(self.out.rows - row);
                for (i, start) in starts[..count].iter_mut().enumerate() {
                    *start = self.out.start(row + i);
                }
                let columns = (first..self.out.columns).step_by(PANEL);
                for (column, panel) in columns.zip(group.chunks_exact(depth * PANEL)) {
                    let rows = starts.map(|start| start.wrapping_add(column));
                    let columns = PANEL.min(self.out.columns - column);
                    let target = Target { rows: &rows[..count], columns, add, ahead };
                    // SAFETY: each row has `columns` values from there on, which nothing else reaches.
                    unsafe {
                        multiply_tile(
                            simd,
                            Strip::<1, STRIP>(strip),
                            Panel::<PANEL> { values: panel, rows: depth },
                            &target,
                        )
                    };
                    ahead = ahead.wrapping_add(depth / AHEAD * LINES * LINE);
                }
            }
        }
    }
}

/// Packs columns into panels.
struct PackPanels<'a> {
    lines: Matrix<'a>,
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for PackPanels<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { lines, out } = self;
        if S::TALL { Pack::<{ 2 * WIDE }> { lines, out }.run(simd) } else { Pack::<WIDE> { lines, out }.run(simd) }
    }
}

/// Packs a matrix into groups of `WIDTH` lines.
fn pack<const WIDTH: usize>(lines: Matrix<'_>, out: &mut [f32]) {
    // SAFETY: all that `Pack` writes are values.
    let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) };
    dispatch(Pack::<WIDTH> { lines, out });
}

/// Writes the rows of `lines` in groups of `WIDTH`: value `(i, k)` of a group to `k * WIDTH + i`. The last group is filled up
/// with zeros, so that all of `out` is written.
struct Pack<'a, const WIDTH: usize> {
    lines: Matrix<'a>,
    out: &'a mut [MaybeUninit<f32>],
}

impl<const WIDTH: usize> Kernel for Pack<'_, WIDTH> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Matrix { rows, columns: depth, .. } = self.lines;
        assert_eq!(self.out.len(), rows.next_multiple_of(WIDTH) * depth, "groups of lines");
        let whole = rows / WIDTH * WIDTH;
        let (groups, last) = self.out.split_at_mut(whole * depth);
        let lines = self.lines.some_rows(&(0..whole));
        if lines.row_stride == 1 {
            copy_groups::<S, WIDTH>(simd, lines, groups);
        } else {
            for (group, out) in groups.chunks_exact_mut((WIDTH * depth).max(1)).enumerate() {
                transpose_group::<S, WIDTH>(simd, lines.some_rows(&(group * WIDTH..(group + 1) * WIDTH)), out);
            }
        }
        let lines = self.lines.some_rows(&(whole..rows));
        for (k, out) in last.chunks_exact_mut(WIDTH).enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                out.write(if i < lines.rows {
                    lines.data[i * lines.row_stride + k * lines.column_stride]
                } else {
                    0.0
                });
            }
        }
    }
}

/// Lines that lie side by side.
#[inline(always)]
fn copy_groups<S: Simd, const WIDTH: usize>(simd: S, lines: Matrix<'_>, out: &mut [MaybeUninit<f32>]) {
    let depth = lines.columns;
    for (i, out) in out.chunks_mut((TOGETHER * WIDTH * depth).max(1)).enumerate() {
        let first = i * TOGETHER * WIDTH;
        for k in 0..depth {
            let line = &lines.data[k * lines.column_stride + first..];
            let far = line.as_ptr().wrapping_add(AHEAD * lines.column_stride);
            (0..TOGETHER * WIDTH).step_by(LINE).for_each(|at| simd.prefetch(far.wrapping_add(at)));
            let groups = out.chunks_exact_mut(WIDTH * depth).zip(line.as_chunks::<WIDTH>().0);
            for (group, values) in groups {
                group[k * WIDTH..(k + 1) * WIDTH].write_copy_of_slice(values);
            }
        }
    }
}

/// One group of lines whose values lie side by side.
#[inline(always)]
fn transpose_group<S: Simd, const WIDTH: usize>(simd: S, lines: Matrix<'_>, out: &mut [MaybeUninit<f32>]) {
    const SIDE: usize = 4;
    let depth = lines.columns;
    let whole = depth / LINE * LINE;
    for start in (0..whole).step_by(LINE) {
        for first in (0..WIDTH).step_by(SIDE) {
            let some: [&[[f32; SIDE]]; SIDE] = std::array::from_fn(|i| {
                let from = (first + i) * lines.row_stride + start;
                // The next group's.
                simd.prefetch(lines.data.as_ptr().wrapping_add(from + WIDTH * lines.row_stride));
                lines.data[from..from + LINE].as_chunks().0
            });
            for part in (0..LINE).step_by(SIDE) {
                let square: [[f32; SIDE]; SIDE] = std::array::from_fn(|i| some[i][part / SIDE]);
                for (k, values) in transpose(square).iter().enumerate() {
                    let to = (start + part + k) * WIDTH + first;
                    out[to..to + SIDE].write_copy_of_slice(values);
                }
            }
        }
    }
    for k in whole..depth {
        for i in 0..WIDTH {
            out[k * WIDTH + i].write(lines.data[i * lines.row_stride + k]);
        }
    }
}
