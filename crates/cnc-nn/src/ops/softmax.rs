//! Softmax over the last dimension: `y = e^x / Σ e^x` (Candle's `softmax_last_dim` has no gradient).

use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply1;
use super::blocks::for_each_chunk;
use super::simd::{Kernel, LANES, Simd, dispatch, sum, sum_of_pairs};
use super::special::exp;
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "softmax";
/// Rows that one thread takes at a time.
const ROWS: usize = 16;

/// Softmax of each row of `x`, `(..., width)`.
///
/// # Errors
/// [`OpError::Rank`] for a single value without dimensions.
pub fn softmax(x: &Tensor) -> Result<Tensor, OpError> {
    if x.rank() == 0 {
        return Err(OpError::Rank { op: OP, argument: "x", expected: "(..., width)", shape: Vec::new() });
    }
    if on_cpu_f32(&[x]) { Ok(apply1(&x.contiguous()?, Softmax)?) } else { composed(x) }
}

/// [`softmax`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor) -> Result<Tensor, OpError> {
    Ok(candle_nn::ops::softmax(x, D::Minus1)?)
}

/// Puts `e^(x - max)` in the place of each `x` of a row; returns their sum and `max`.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let (eights, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max });
    // A row of -∞ alone (or of NaN) has no largest value; it becomes NaN, as in PyTorch.
    let max = if max == f32::NEG_INFINITY { f32::NAN } else { max };
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    (sum(row), max)
}

/// Multiplies a row by `factor`.
#[inline(always)]
pub(super) fn scale(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|x| *x *= factor);
}

struct Softmax;

struct Forward<'a> {
    rows: &'a mut [f32],
    width: usize,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.width) {
            let (sum, _) = exponentials(row);
            scale(row, 1.0 / sum);
        }
    }
}

/// `dx = y (dy - Σ dy y)`.
struct Backward<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    width: usize,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.dx.chunks_exact_mut(self.width);
        for ((dx, y), dy) in rows.zip(self.y.chunks_exact(self.width)).zip(self.dy.chunks_exact(self.width)) {
            let mean = sum_of_pairs(y, dy, |y, dy| y * dy);
            for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = y * (dy - mean);
            }
        }
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut y = slice(storage, layout)?.to_vec();
        let (width, operations) = (layout.dims().last().copied().unwrap_or(1).max(1), y.len());
        for_each_chunk(&mut y, ROWS * width, operations, |_, rows| dispatch(Forward { rows, width }));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let width = x.dims().last().copied().unwrap_or(1).max(1);
        let dx = with_values([y, &gradient], |[y, dy]| {
            let mut dx = vec![0.0; y.len()];
            for_each_chunk(&mut dx, ROWS * width, y.len(), |i, dx| {
                let at = i * ROWS * width;
                dispatch(Backward { y: &y[at..][..dx.len()], dy: &dy[at..][..dx.len()], dx, width });
            });
            Ok(dx)
        })?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
