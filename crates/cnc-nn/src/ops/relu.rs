//! Rectified linear unit: `max(x, 0)`, with the derivative 0 at 0 as in PyTorch (Candle's own says 1).

use candle_core::Tensor;

use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::relu::{backward, forward};
use crate::op_error::OpError;

/// `max(x, 0)`, element by element; NaN stays NaN. The gradient passes where the result is positive.
///
/// # Errors
/// Only those of Candle.
pub fn relu(x: &Tensor) -> Result<Tensor, OpError> {
    if !on_cpu_f32(&[x]) {
        return composed(x);
    }
    Ok(apply("relu", [x], x.shape(), |[x]| (forward(x), ()), |(), pass| [Some(backward(pass.y, pass.dy))])?)
}

/// [`relu`](crate::ops::relu) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor) -> Result<Tensor, OpError> {
    let zeros = x.zeros_like()?;
    Ok(x.le(&zeros)?.where_cond(&zeros, x)?)
}
