//! The feed-forward part of a transformer layer: `y = activation(x w1ᵀ + b1) w2ᵀ + b2`.
//!
//! Of the hidden units only the sums before the activation are kept; the backward pass computes the activation again, which
//! costs less than a pass over memory.

use candle_core::Tensor;

use super::activation;
use super::linear::{self, Map, with_last};
use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::activation::Activation;
use crate::kernels::feed_forward::FeedForward;
use crate::kernels::linear::Size;
use crate::op_error::OpError;

const OP: &str = "feed_forward";

/// `x` of shape `(..., in)` through `first`, the activation and `second`: `(..., out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn feed_forward(x: &Tensor, first: Map, activation: Activation, second: Map) -> Result<Tensor, OpError> {
    check(x, first, second)?;
    if !on_cpu_f32(&[x, first.0, first.1, second.0, second.1]) {
        return composed(x, first, activation, second);
    }
    let kernel = kernel(x, first, activation, second)?;
    Ok(apply(
        OP,
        [x, first.0, first.1, second.0, second.1],
        with_last(x, kernel.second.outputs),
        |arguments| kernel.forward(arguments),
        move |sums, pass| kernel.backward(sums, pass.arguments, pass.dy, &[], pass.wanted),
    )?)
}

/// The kernel for shapes that fit together.
pub(super) fn kernel(x: &Tensor, first: Map, activation: Activation, second: Map) -> candle_core::Result<FeedForward> {
    let (hidden, inputs) = first.0.dims2()?;
    let rows = x.dims().iter().rev().skip(1).product();
    let (first, outputs) = (Size { rows, inputs, outputs: hidden }, second.0.dim(0)?);
    Ok(FeedForward { activation, first, second: Size { rows, inputs: hidden, outputs } })
}

/// Whether the shapes fit together.
pub(super) fn check(x: &Tensor, first: Map, second: Map) -> Result<(), OpError> {
    linear::check(OP, x, first.0, Some(first.1))?;
    // What the second map is given has the outputs of the first.
    linear::check(OP, &first.0.t()?, second.0, Some(second.1))
}

/// [`feed_forward`](crate::ops::feed_forward) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, first: Map, activation: Activation, second: Map) -> Result<Tensor, OpError> {
    let hidden = activation::composed(&linear::composed(x, first.0, Some(first.1))?, activation)?;
    linear::composed(&hidden, second.0, Some(second.1))
}
