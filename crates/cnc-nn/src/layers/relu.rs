//! Rectified linear unit.

use candle_core::Tensor;

use super::mode::named;
use crate::error::Result;
use crate::ops;

/// `max(x, 0)`, any shape. The gradient at 0 is 0, as in PyTorch (Candle's own has 1).
///
/// # Errors
/// [`Error::Layer`](crate::Error::Layer) when there is no memory left.
pub fn relu(input: &Tensor) -> Result<Tensor> {
    named("relu", ops::relu(input))
}
