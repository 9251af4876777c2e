//! Softmax over the last dimension: `y = e^x / Σ e^x` (Candle's `softmax_last_dim` has no gradient).

use candle_core::{D, Tensor};

use crate::autograd::recorded;
use crate::op_error::OpError;

/// Softmax of each row of `x`, `(..., width)`, in plain Candle ops.
///
/// # Errors
/// [`OpError::Rank`] for a single value without dimensions.
pub fn softmax(x: &Tensor) -> Result<Tensor, OpError> {
    if x.rank() == 0 {
        return Err(OpError::Rank { op: "softmax", argument: "x", expected: "(..., width)", shape: Vec::new() });
    }
    Ok(recorded(candle_nn::ops::softmax(x, D::Minus1)?))
}
