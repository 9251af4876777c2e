//! Batch normalisation of images (Ioffe and Szegedy 2015): each channel is shifted and scaled to mean 0 and variance 1,
//! then to a learnt mean and scale.
//!
//! `y = weight * (x - mean) / sqrt(variance + epsilon) + bias`, channel by channel.
//!
//! In plain Candle ops; within residual networks it is a part of their convolutions.

use candle_core::Tensor;

use super::check::{check_by_channel, several_values};
use crate::autograd::recorded;
use crate::op_error::OpError;

const OP: &str = "batch_norm";

/// Mean and variance of each channel of a batch, both `(channels)`: what enters running statistics.
#[derive(Debug, Clone)]
pub struct BatchMoments {
    /// Mean over the batch, rows and columns.
    pub mean: Tensor,
    /// Mean squared difference from the mean: divided by the count, not by one less.
    pub variance: Tensor,
    /// Values of each channel.
    pub count: usize,
}

/// Normalises each channel of `x`, shape `(batch, channels, height, width)`, by the mean and variance of this batch, and
/// returns these too. `weight` and `bias` are `(channels)`. Gradients pass through the mean and the variance.
///
/// # Errors
/// Wrong shapes, and a batch with fewer than two values a channel: its variance says nothing.
pub fn batch_norm_train(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> Result<(Tensor, BatchMoments), OpError> {
    let [batch, count, height, width] = shape(x, &[weight, bias])?;
    let (channels, values) = ((1, count, 1, 1), several_values(OP, batch * height * width, x)?);
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let normal = centred.broadcast_div(&(&variance + epsilon)?.sqrt()?)?;
    let y = normal.broadcast_mul(&weight.reshape(channels)?)?.broadcast_add(&bias.reshape(channels)?)?;
    let flat = |moment: Tensor| moment.detach().reshape(count);
    Ok((recorded(y), BatchMoments { mean: flat(mean)?, variance: flat(variance)?, count: values }))
}

/// Normalises each channel of `x`, shape `(batch, channels, height, width)`, by a stored `mean` and `variance`. All others
/// are `(channels)`; `mean` and `variance` get no gradient.
///
/// # Errors
/// Wrong shapes.
pub fn batch_norm_eval(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    epsilon: f64,
) -> Result<Tensor, OpError> {
    let channels = (1, shape(x, &[weight, bias, mean, variance])?[1], 1, 1);
    let root = (variance.detach().reshape(channels)? + epsilon)?.sqrt()?;
    let normal = x.broadcast_sub(&mean.detach().reshape(channels)?)?.broadcast_div(&root)?;
    Ok(recorded(normal.broadcast_mul(&weight.reshape(channels)?)?.broadcast_add(&bias.reshape(channels)?)?))
}

/// The shape of `x`, if there is one value for each of its channels in all of `by_channel`.
fn shape(x: &Tensor, by_channel: &[&Tensor]) -> Result<[usize; 4], OpError> {
    let &[batch, channels, height, width] = x.dims() else {
        let expected = "(batch, channels, height, width)";
        return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
    };
    check_by_channel(OP, channels, by_channel)?;
    Ok([batch, channels, height, width])
}
