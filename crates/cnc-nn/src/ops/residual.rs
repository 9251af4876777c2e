//! The two building blocks of residual networks (He et al. 2016), each as one op: the *residual block* of convolutions,
//! batch normalisations and a shortcut, and the *stem* in front of the first block.
//!
//! Feature maps are `(batch, height, width, channels)`: a pixel's channels lie side by side, so that a convolution is a
//! product of long matrices whatever the size of the image.

use candle_core::{Device, Tensor, bail};

use super::batch_norm::{self, BatchMoments};
use super::check::{check_by_channel, several_values};
use super::conv2d;
use super::{pool, relu};
use crate::autograd::{Pass, apply, apply_to_all, is_recorded, on_cpu_f32};
use crate::kernels::conv::{self, Conv, Moments};
use crate::op_error::OpError;

const OP: &str = "residual";
const STEM: &str = "stem";

/// A convolution without bias and the normalisation of its result.
#[derive(Debug, Clone)]
pub struct Stage {
    /// `(out, in, kernel, kernel)`.
    pub weight: Tensor,
    /// Pixels from one place of the kernel to the next. Padding is half of the kernel.
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
pub fn residual(x: &Tensor, blocks: &[Block]) -> Result<(Tensor, Vec<BatchMoments>), OpError> {
    let &[batch, height, width, channels] = x.dims() else {
        let expected = "(batch, height, width, channels)";
        return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
    };
    let mut shape = [batch, height, width, channels];
    let mut all_blocks = Vec::new();
    for block in blocks {
        let (kernel, next) = block.kernel(x, shape)?;
        all_blocks.extend(kernel);
        shape = next;
    }
    if all_blocks.is_empty() || all_blocks.len() < blocks.len() {
        return composed(x, blocks);
    }
    let stages = blocks.iter().flat_map(|block| block.branch.iter().chain(&block.shortcut));
    let variables = stages.flat_map(|stage| [&stage.weight, &stage.scale, &stage.shift]);
    let arguments: Vec<&Tensor> = std::iter::once(x).chain(variables).collect();
    let (kernel, recorded) = (conv::Blocks(all_blocks), is_recorded(arguments.iter().copied()));
    let mut moments = Vec::new();
    let forward = |arguments: &[&[f32]]| {
        let (x, variables) = split(arguments)?;
        let (y, of_batch, chain) = kernel.forward(x, variables, recorded);
        moments = of_batch;
        Ok((y, chain))
    };
    let backward = |chain: &Option<conv::Chain>, pass: Pass<&[&[f32]], &[bool]>| {
        let (Some(chain), (x, variables), (of_x, wanted)) = (chain, split(pass.arguments)?, split(pass.wanted)?) else {
            bail!("{OP}: backward without a forward pass")
        };
        let (dx, gradients) = chain.backward(x, variables, [pass.y, pass.dy], *of_x, wanted);
        Ok(std::iter::once(dx).chain(gradients.into_iter().flatten()).collect())
    };
    let y = apply_to_all(OP, &arguments, &shape[..], forward, backward)?;
    Ok((y, moments.iter().map(tensors).collect::<Result<_, _>>()?))
}

/// The first argument, and those of each stage.
fn split<T>(arguments: &[T]) -> candle_core::Result<(&T, &[[T; 3]])> {
    match arguments.split_first() {
        Some((x, variables)) => Ok((x, variables.as_chunks().0)),
        None => bail!("{OP}: no arguments"),
    }
}

/// Moments as tensors.
fn tensors(moments: &Moments) -> candle_core::Result<BatchMoments> {
    let tensor = |values: Vec<f32>| Tensor::new(values, &Device::Cpu);
    let variances = moments.variances().iter().map(|variance| *variance as f32).collect();
    Ok(BatchMoments { mean: tensor(moments.means())?, variance: tensor(variances)?, count: moments.count() })
}

impl Block {
    /// The kernel of a block on feature maps like `x` of the given shape, and the shape of its result; no kernel if it is for
    /// the composed form.
    fn kernel(&self, x: &Tensor, shape: [usize; 4]) -> Result<(Option<conv::Block>, [usize; 4]), OpError> {
        let (mut branch, mut after) = (Some(Vec::new()), shape);
        for stage in &self.branch {
            let (kernel, next) = stage.kernel(x, after)?;
            after = next;
            branch = branch.zip(kernel).map(|(mut stages, stage)| {
                stages.push(stage);
                stages
            });
        }
        let (shortcut, added) = match &self.shortcut {
            Some(stage) => stage.kernel(x, shape)?,
            None => (None, shape),
        };
        if added != after {
            return Err(OpError::Shortcut { branch: after.to_vec(), shortcut: added.to_vec() });
        }
        let ours = !self.branch.is_empty() && shortcut.is_some() == self.shortcut.is_some();
        Ok((branch.filter(|_| ours).map(|branch| conv::Block { branch, shortcut }), after))
    }
}

/// [`residual`] from the composed forms of its parts.
///
/// # Errors
/// As [`residual`].
pub fn composed(x: &Tensor, blocks: &[Block]) -> Result<(Tensor, Vec<BatchMoments>), OpError> {
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
pub fn stem(images: &Tensor, stage: &Stage) -> Result<(Tensor, Option<BatchMoments>), OpError> {
    let &[batch, channels, height, width] = images.dims() else {
        let expected = "(batch, channels, height, width)";
        return Err(OpError::Rank { op: OP, argument: "images", expected, shape: images.dims().to_vec() });
    };
    let Some(kernel) = stage.kernel(images, [batch, height, width, channels])?.0 else {
        return stem_composed(images, stage);
    };
    let [out_height, out_width] = conv::Stem::out_size(&kernel);
    let shape = (batch, out_height, out_width, kernel.conv.outputs);
    let (images, mut moments) = (channels_last(images)?, None);
    let forward = |[images, weight, scale, shift]: [&[f32]; 4]| {
        let (y, of_batch, stem) = conv::Stem::forward(&kernel, images, [weight, scale, shift]);
        moments = of_batch;
        (y, stem)
    };
    let backward = |stem: &conv::Stem, pass: Pass<[&[f32]; 4], [bool; 4]>| {
        let ([images, variables @ ..], [of_images, wanted @ ..]) = (pass.arguments, pass.wanted);
        let (dx, [dweight, dscale, dshift]) = stem.backward(images, variables, pass.dy, of_images, wanted);
        [dx, dweight, dscale, dshift]
    };
    let arguments = [&images, &stage.weight, &stage.scale, &stage.shift];
    let y = apply(STEM, arguments, shape, forward, backward)?;
    Ok((y, moments.as_ref().map(tensors).transpose()?))
}

/// [`stem`] from the composed forms of its parts.
///
/// # Errors
/// As [`stem`].
pub fn stem_composed(images: &Tensor, stage: &Stage) -> Result<(Tensor, Option<BatchMoments>), OpError> {
    let (y, moments) = stage.composed(images)?;
    Ok((channels_last(&pool::max_pool2d(&relu::composed(&y)?, 3, 2, 1)?)?, moments))
}

impl Stage {
    /// The kernel on feature maps like `x` of this shape, `(batch, height, width, channels)`, or `None` if it is for the
    /// composed form; and the shape of its result.
    fn kernel(
        &self,
        x: &Tensor,
        [batch, height, width, inputs]: [usize; 4],
    ) -> Result<(Option<conv::Stage>, [usize; 4]), OpError> {
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
        check_by_channel(OP, outputs, &tensors[2..])?;
        if matches!(self.statistics, Statistics::Batch) {
            several_values(OP, batch * out_height * out_width, x)?;
        }
        let ours = kernel == kernel_width && !kernel.is_multiple_of(2) && batch * height * width * inputs * outputs > 0;
        let shape = [batch, out_height, out_width, outputs];
        if !ours || !on_cpu_f32(&tensors) {
            return Ok((None, shape));
        }
        let stored = match &self.statistics {
            Statistics::Batch => None,
            Statistics::Stored { mean, variance } => Some([mean.to_vec1()?, variance.to_vec1()?]),
        };
        let conv = Conv { batch, height, width, inputs, outputs, kernel, stride: self.stride };
        Ok((Some(conv::Stage { conv, stored, epsilon: self.epsilon }), shape))
    }

    /// The stage on images `(batch, channels, height, width)`.
    fn composed(&self, x: &Tensor) -> Result<(Tensor, Option<BatchMoments>), OpError> {
        let padding = self.weight.dims().last().copied().unwrap_or_default() / 2;
        let y = conv2d::conv2d(x, &self.weight, None, self.stride, padding)?;
        match &self.statistics {
            Statistics::Batch => {
                let (y, moments) = batch_norm::batch_norm_train(&y, &self.scale, &self.shift, self.epsilon)?;
                Ok((y, Some(moments)))
            }
            Statistics::Stored { mean, variance } => {
                let y = batch_norm::batch_norm_eval(&y, &self.scale, &self.shift, mean, variance, self.epsilon)?;
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
