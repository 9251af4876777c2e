//! Batch normalisation of images (Ioffe and Szegedy 2015): each channel is shifted and scaled to mean 0 and variance 1,
//! then to a learnt mean and scale.
//!
//! `y = weight * (x - mean) / sqrt(variance + epsilon) + bias`, channel by channel.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::OpError;
use super::autograd::apply3;
use super::blocks::for_each_chunk;
use super::simd::{sum, sum_of_pairs};
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "batch_norm";

/// Mean and variance of each channel of a batch, both `(channels)`.
#[derive(Debug, Clone)]
pub struct Moments {
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
) -> Result<(Tensor, Moments), OpError> {
    let size = Size::new(x, [weight, bias])?;
    let count = size.several_values(x)?;
    if !on_cpu_f32(&[x, weight, bias]) {
        return composed_train(x, weight, bias, epsilon);
    }
    let x = x.contiguous()?;
    let moments = with_values([&x], |[x]| Ok(size.moments(x)))?;
    let scale = moments.iter().map(|(_, variance)| inverse_root(*variance, epsilon)).collect();
    let means: Vec<f32> = moments.iter().map(|(mean, _)| *mean as f32).collect();
    let variances: Vec<f32> = moments.iter().map(|(_, variance)| *variance as f32).collect();
    let tensor = |values: &[f32]| Tensor::from_slice(values, size.channels, x.device());
    let moments = Moments { mean: tensor(&means)?, variance: tensor(&variances)?, count };
    let op = BatchNorm { size, means, scale, through_moments: true };
    Ok((apply3(&x, &weight.contiguous()?, &bias.contiguous()?, op)?, moments))
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
    let size = Size::new(x, [weight, bias, mean, variance])?;
    if !on_cpu_f32(&[x, weight, bias, mean, variance]) {
        return composed_eval(x, weight, bias, mean, variance, epsilon);
    }
    let scale = variance.to_vec1::<f32>()?.iter().map(|v| inverse_root(f64::from(*v), epsilon)).collect();
    let op = BatchNorm { size, means: mean.to_vec1()?, scale, through_moments: false };
    Ok(apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, op)?)
}

/// [`batch_norm_train`] in plain Candle ops.
///
/// # Errors
/// As [`batch_norm_train`].
pub fn composed_train(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<(Tensor, Moments), OpError> {
    let size = Size::new(x, [weight, bias])?;
    let count = size.several_values(x)?;
    let channels = (1, size.channels, 1, 1);
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let normal = centred.broadcast_div(&(&variance + epsilon)?.sqrt()?)?;
    let y = normal.broadcast_mul(&weight.reshape(channels)?)?.broadcast_add(&bias.reshape(channels)?)?;
    let flat = |moment: Tensor| moment.detach().reshape(size.channels);
    Ok((y, Moments { mean: flat(mean)?, variance: flat(variance)?, count }))
}

/// [`batch_norm_eval`] in plain Candle ops.
///
/// # Errors
/// As [`batch_norm_eval`].
pub fn composed_eval(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    epsilon: f64,
) -> Result<Tensor, OpError> {
    let size = Size::new(x, [weight, bias, mean, variance])?;
    let channels = (1, size.channels, 1, 1);
    let root = (variance.detach().reshape(channels)? + epsilon)?.sqrt()?;
    let normal = x.broadcast_sub(&mean.detach().reshape(channels)?)?.broadcast_div(&root)?;
    Ok(normal.broadcast_mul(&weight.reshape(channels)?)?.broadcast_add(&bias.reshape(channels)?)?)
}

pub(super) fn inverse_root(variance: f64, epsilon: f64) -> f32 {
    (1.0 / (variance + epsilon).sqrt()) as f32
}

/// The checked sizes.
#[derive(Debug, Clone, Copy)]
struct Size {
    batch: usize,
    channels: usize,
    plane: usize,
}

impl Size {
    fn new<const N: usize>(x: &Tensor, by_channel: [&Tensor; N]) -> Result<Self, OpError> {
        let &[batch, channels, height, width] = x.dims() else {
            let expected = "(batch, channels, height, width)";
            return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
        };
        super::check_by_channel(OP, channels, &by_channel)?;
        Ok(Self { batch, channels, plane: height * width })
    }

    fn several_values(self, x: &Tensor) -> Result<usize, OpError> {
        super::several_values(OP, self.batch * self.plane, x)
    }

    /// The planes of one channel.
    fn planes(self, x: &[f32], channel: usize) -> impl Iterator<Item = &[f32]> {
        let plane = self.plane;
        (0..self.batch).map(move |sample| &x[(sample * self.channels + channel) * plane..][..plane])
    }

    /// Mean and variance of each channel: sums within a plane in `f32`, over the planes in `f64`.
    fn moments(self, x: &[f32]) -> Vec<(f64, f64)> {
        let count = (self.batch * self.plane) as f64;
        let of_channel = |channel| {
            let mean = self.planes(x, channel).map(|plane| f64::from(sum(plane))).sum::<f64>() / count;
            let centre = mean as f32;
            let squares = self
                .planes(x, channel)
                .map(|plane| f64::from(sum_of_pairs(plane, plane, |x, _| (x - centre) * (x - centre))));
            let shift = mean - f64::from(centre);
            (mean, squares.sum::<f64>() / count - shift * shift)
        };
        (0..self.channels).into_par_iter().map(of_channel).collect()
    }
}

/// Arguments: `x`, `weight`, `bias`.
struct BatchNorm {
    size: Size,
    means: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)` of each channel.
    scale: Vec<f32>,
    /// Whether mean and variance are those of `x`.
    through_moments: bool,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice(x, x_layout)?, slice(weight, weight_layout)?, slice(bias, bias_layout)?);
        let Size { channels, plane, .. } = self.size;
        let mut y = vec![0.0; x.len()];
        for_each_chunk(&mut y, plane, x.len(), |i, y| {
            let channel = i % channels;
            let (mean, scale, bias) = (self.means[channel], weight[channel] * self.scale[channel], bias[channel]);
            for (y, x) in y.iter_mut().zip(&x[i * plane..]) {
                *y = (x - mean) * scale + bias;
            }
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (gradient, size) = (gradient.contiguous()?, self.size);
        let Size { channels, plane, .. } = size;
        let count = (size.batch * plane) as f64;
        with_values([x, weight, &gradient], |[x_values, weight_values, dy]| {
            // Sums of dy and of dy times the normalised x: the gradients of bias and weight.
            let of_channel = |channel: usize| {
                let (mean, scale) = (self.means[channel], self.scale[channel]);
                let pairs = size.planes(x_values, channel).zip(size.planes(dy, channel));
                pairs.fold((0.0f64, 0.0f64), |(direct, with_x), (x, dy)| {
                    let (mut lanes, mut total) = ([0.0f32; 8], 0.0f32);
                    let (x_eights, x_rest) = x.as_chunks::<8>();
                    let (dy_eights, dy_rest) = dy.as_chunks::<8>();
                    for (x, dy) in x_eights.iter().zip(dy_eights) {
                        for ((lane, x), dy) in lanes.iter_mut().zip(x).zip(dy) {
                            *lane += (x - mean) * dy;
                        }
                    }
                    for (x, dy) in x_rest.iter().zip(dy_rest) {
                        total += (x - mean) * dy;
                    }
                    let centred = lanes.iter().sum::<f32>() + total;
                    (direct + f64::from(sum(dy)), with_x + f64::from(centred) * f64::from(scale))
                })
            };
            let sums: Vec<(f64, f64)> = (0..channels).into_par_iter().map(of_channel).collect();
            let dx = x.track_op().then(|| {
                let mut dx = vec![0.0; x_values.len()];
                for_each_chunk(&mut dx, plane, x_values.len(), |i, dx| {
                    let channel = i % channels;
                    let (mean, scale) = (self.means[channel], self.scale[channel]);
                    let (direct, with_x) = if self.through_moments { sums[channel] } else { (0.0, 0.0) };
                    let (shift, slope) = ((direct / count) as f32, (with_x / count) as f32 * scale);
                    let factor = weight_values[channel] * scale;
                    for ((dx, x), dy) in dx.iter_mut().zip(&x_values[i * plane..]).zip(&dy[i * plane..]) {
                        *dx = factor * (dy - shift - (x - mean) * slope);
                    }
                });
                dx
            });
            let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
            let of_weight = weight.track_op().then(|| sums.iter().map(|(_, with_x)| *with_x as f32).collect());
            let of_bias = bias.track_op().then(|| sums.iter().map(|(direct, _)| *direct as f32).collect());
            Ok((
                dx.map(|dx| tensor(dx, x)).transpose()?,
                of_weight.map(|dw| tensor(dw, weight)).transpose()?,
                of_bias.map(|db| tensor(db, bias)).transpose()?,
            ))
        })
    }
}
