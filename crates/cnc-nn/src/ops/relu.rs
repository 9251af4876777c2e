//! Rectified linear unit: `max(x, 0)`, with the derivative 0 at 0 as in PyTorch (Candle's own says 1).

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply1;
use super::blocks::for_each_chunk;
use super::storage::{on_cpu_f32, slice, with_values};

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `max(x, 0)`, element by element; NaN stays NaN. The gradient passes where the result is positive.
///
/// # Errors
/// Only those of Candle.
pub fn relu(x: &Tensor) -> Result<Tensor, OpError> {
    if on_cpu_f32(&[x]) { Ok(apply1(&x.contiguous()?, Relu)?) } else { composed(x) }
}

/// [`relu`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor) -> Result<Tensor, OpError> {
    let zeros = x.zeros_like()?;
    Ok(x.le(&zeros)?.where_cond(&zeros, x)?)
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let mut y = vec![0.0; x.len()];
        for_each_chunk(&mut y, CHUNK, x.len(), |i, y| {
            for (y, &x) in y.iter_mut().zip(&x[i * CHUNK..]) {
                // The comparison this way round keeps NaN.
                *y = if x <= 0.0 { 0.0 } else { x };
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let dx = with_values([y, &gradient], |[y, gradient]| {
            let mut dx = vec![0.0; y.len()];
            for_each_chunk(&mut dx, CHUNK, y.len(), |i, dx| {
                let at = i * CHUNK;
                for ((dx, &y), &gradient) in dx.iter_mut().zip(&y[at..]).zip(&gradient[at..]) {
                    *dx = if y <= 0.0 { 0.0 } else { gradient };
                }
            });
            Ok(dx)
        })?;
        Tensor::from_vec(dx, y.shape(), y.device()).map(Some)
    }
}
