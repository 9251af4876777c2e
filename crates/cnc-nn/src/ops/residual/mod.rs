//! The two building blocks of residual networks (He et al. 2016), each as one op: the *residual block* of convolutions,
//! batch normalisations and a shortcut, and the *stem* in front of the first block.
//!
//! Feature maps are `(batch, height, width, channels)`: a pixel's channels lie side by side, so that a convolution is a
//! product of long matrices whatever the size of the image.

mod block;
mod buffers;
mod geometry;
mod maps;
mod passes;
mod product;
mod stem;
mod winograd;

use candle_core::Tensor;

use self::block::Sizes;
use self::geometry::Conv;
use super::batch_norm::{self, Moments};
use super::storage::on_cpu_f32;
use super::{OpError, conv2d, pool, relu};

const OP: &str = "residual";

/// A convolution without bias and the normalisation of its result.
#[derive(Debug, Clone)]
pub struct Stage {
    /// `(out, in, kernel, kernel)`.
    pub weight: Tensor,
    /// Pixels that the kernel moves by. Padding is half of the kernel.
    pub stride: usize,
    /// Learnt scale of each channel, `(out)`.
    pub scale: Tensor,
    /// Learnt mean of each channel, `(out)`.
    pub shift: Tensor,
    /// Where mean and variance come from.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Where batch norm takes mean and variance from.
#[derive(Debug, Clone)]
pub enum Statistics {
    /// The batch itself: training.
    Batch,
    /// Stored values, both `(out)`, that get no gradient: evaluation.
    Stored {
        /// Mean of each channel.
        mean: Tensor,
        /// Variance of each channel.
        variance: Tensor,
    },
}

/// A residual block, `relu(branch(x) + shortcut(x))`.
#[derive(Debug, Clone)]
pub struct Block {
    /// They follow each other with a ReLU between.
    pub branch: Vec<Stage>,
    /// Without one, `x` itself is added.
    pub shortcut: Option<Stage>,
}

/// Residual blocks one after the other. Also returns the moments of each stage that is normalised by its batch: those of
/// the first block's branch, then its shortcut's, and so on.
///
/// `x` is `(batch, height, width, channels)`. Blocks in one call are quicker than blocks one by one: Candle does not see
/// what passes between them, and so does not copy it.
///
/// # Errors
/// Wrong shapes, branch and shortcut of different shapes, a batch with fewer than two values a channel where it is
/// normalised by its own statistics.
pub fn residual(x: &Tensor, blocks: &[Block]) -> Result<(Tensor, Vec<Moments>), OpError> {
    let &[batch, height, width, channels] = x.dims() else {
        let expected = "(batch, height, width, channels)";
        return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
    };
    let mut shape = [batch, height, width, channels];
    let mut all_sizes = Vec::new();
    for block in blocks {
        let (sizes, next) = block.sizes(x, shape)?;
        all_sizes.extend(sizes);
        shape = next;
    }
    if all_sizes.is_empty() || all_sizes.len() < blocks.len() {
        return composed(x, blocks);
    }
    Ok(block::residual(&x.contiguous()?, blocks, all_sizes, shape)?)
}

impl Block {
    /// The sizes of a block on feature maps like `x` of the given shape, and the shape of its result; no sizes if it is for
    /// the composed form.
    fn sizes(&self, x: &Tensor, shape: [usize; 4]) -> Result<(Option<Sizes>, [usize; 4]), OpError> {
        let (mut branch, mut after) = (Some(Vec::new()), shape);
        for stage in &self.branch {
            let (conv, next) = stage.conv(x, after)?;
            after = next;
            branch = branch.zip(conv).map(|(mut convs, conv)| {
                convs.push(conv);
                convs
            });
        }
        let (conv, added) = match &self.shortcut {
            Some(stage) => stage.conv(x, shape)?,
            None => (None, shape),
        };
        if added != after {
            return Err(OpError::Shortcut { branch: after.to_vec(), shortcut: added.to_vec() });
        }
        let ours = !self.branch.is_empty() && conv.is_some() == self.shortcut.is_some();
        Ok((branch.filter(|_| ours).map(|branch| Sizes { branch, shortcut: conv }), after))
    }
}

/// [`residual`] from the composed forms of its parts.
///
/// # Errors
/// As [`residual`].
pub fn composed(x: &Tensor, blocks: &[Block]) -> Result<(Tensor, Vec<Moments>), OpError> {
    let (mut x, mut all_moments) = (channels_first(x)?, Vec::new());
    for block in blocks {
        let mut y = x.clone();
        for (i, stage) in block.branch.iter().enumerate() {
            let (next, moments) = stage.composed(&y)?;
            y = if i + 1 < block.branch.len() { relu::composed(&next)? } else { next };
            all_moments.extend(moments);
        }
        let added = match &block.shortcut {
            Some(stage) => {
                let (added, moments) = stage.composed(&x)?;
                all_moments.extend(moments);
                added
            }
            None => x,
        };
        x = relu::composed(&(y + added)?)?;
    }
    Ok((channels_last(&x)?, all_moments))
}

/// `max_pool(relu(stage(images)))` with pooling windows of 3 x 3 every second pixel, padding 1. Also returns the moments if
/// the stage is normalised by its batch.
///
/// `images` are `(batch, channels, height, width)`; the result is `(batch, height', width', channels')`.
///
/// # Errors
/// As [`residual`].
pub fn stem(images: &Tensor, stage: &Stage) -> Result<(Tensor, Option<Moments>), OpError> {
    let &[batch, channels, height, width] = images.dims() else {
        let expected = "(batch, channels, height, width)";
        return Err(OpError::Rank { op: OP, argument: "images", expected, shape: images.dims().to_vec() });
    };
    let Some(conv) = stage.conv(images, [batch, height, width, channels])?.0 else {
        return stem_composed(images, stage);
    };
    Ok(stem::stem(&channels_last(images)?, stage, conv)?)
}

/// [`stem`] from the composed forms of its parts.
///
/// # Errors
/// As [`stem`].
pub fn stem_composed(images: &Tensor, stage: &Stage) -> Result<(Tensor, Option<Moments>), OpError> {
    let (y, moments) = stage.composed(images)?;
    Ok((channels_last(&pool::composed(&relu::composed(&y)?, 3, 2, 1)?)?, moments))
}

impl Stage {
    /// The sizes of the convolution on feature maps like `x` of this shape, `(batch, height, width, channels)`, or `None` if
    /// the kernels here are not for it; and the shape of its result.
    fn conv(
        &self,
        x: &Tensor,
        [batch, height, width, inputs]: [usize; 4],
    ) -> Result<(Option<Conv>, [usize; 4]), OpError> {
        let &[outputs, weight_inputs, kernel, kernel_width] = self.weight.dims() else {
            let (expected, shape) = ("(out, in, kernel, kernel)", self.weight.dims().to_vec());
            return Err(OpError::Rank { op: OP, argument: "weight", expected, shape });
        };
        if inputs != weight_inputs {
            return Err(OpError::Channels { op: OP, input: inputs, weight: weight_inputs });
        }
        let [out_height, out_width] =
            conv2d::out_size(OP, [height, width], [kernel, kernel_width], self.stride, kernel / 2)?;
        let mut tensors = vec![x, &self.weight, &self.scale, &self.shift];
        if let Statistics::Stored { mean, variance } = &self.statistics {
            tensors.extend([mean, variance]);
        }
        super::check_by_channel(OP, outputs, &tensors[2..])?;
        let conv = Conv { batch, height, width, inputs, outputs, kernel, stride: self.stride };
        if matches!(self.statistics, Statistics::Batch) {
            super::several_values(OP, batch * out_height * out_width, x)?;
        }
        let ours = kernel == kernel_width && !kernel.is_multiple_of(2) && batch * height * width * inputs * outputs > 0;
        Ok(((ours && on_cpu_f32(&tensors)).then_some(conv), [batch, out_height, out_width, outputs]))
    }

    /// The stage on images `(batch, channels, height, width)`.
    fn composed(&self, x: &Tensor) -> Result<(Tensor, Option<Moments>), OpError> {
        let padding = self.weight.dims().last().copied().unwrap_or_default() / 2;
        let y = conv2d::composed(x, &self.weight, None, self.stride, padding)?;
        match &self.statistics {
            Statistics::Batch => {
                let (y, moments) = batch_norm::composed_train(&y, &self.scale, &self.shift, self.epsilon)?;
                Ok((y, Some(moments)))
            }
            Statistics::Stored { mean, variance } => {
                let y = batch_norm::composed_eval(&y, &self.scale, &self.shift, mean, variance, self.epsilon)?;
                Ok((y, None))
            }
        }
    }
}

/// `(batch, height, width, channels)` to `(batch, channels, height, width)`.
fn channels_first(x: &Tensor) -> Result<Tensor, OpError> {
    if x.rank() != 4 {
        let expected = "(batch, height, width, channels)";
        return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
    }
    Ok(x.permute((0, 3, 1, 2))?.contiguous()?)
}

/// `(batch, channels, height, width)` to `(batch, height, width, channels)`.
fn channels_last(x: &Tensor) -> Result<Tensor, OpError> {
    Ok(x.permute((0, 2, 3, 1))?.contiguous()?)
}
