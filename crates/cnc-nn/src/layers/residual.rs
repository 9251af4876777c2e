//! The parts of a residual network.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::batch_norm::BatchNorm2d;
use super::mode::{Mode, layer_error, named};
use crate::error::Result;
use crate::init::KAIMING_NORMAL_FAN_OUT;
use crate::ops;

/// A convolution without bias, padded by half of its kernel, and the batch norm of its result: what [`Residual`] and
/// [`Stem`] are made of.
///
/// Variables: `weight (outputs, inputs, kernel, kernel)` of the convolution, initialised as torchvision's ResNet (He et al.
/// 2015, normal, by outputs), and those of [`BatchNorm2d`].
#[derive(Debug, Clone)]
pub struct ConvNorm {
    name: String,
    weight: Tensor,
    stride: usize,
    norm: BatchNorm2d,
}

impl ConvNorm {
    /// `inputs` to `outputs` channels with a square kernel of odd side and a `stride`; the variables of the two
    /// parts under the prefixes of `conv` and `norm`.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        conv: VarBuilder,
        norm: VarBuilder,
    ) -> Result<Self> {
        let weight = conv.get_with_hints((outputs, inputs, kernel, kernel), "weight", KAIMING_NORMAL_FAN_OUT)?;
        Ok(Self { name: conv.prefix(), weight, stride, norm: BatchNorm2d::new(outputs, norm)? })
    }

    fn stage(&self, mode: Mode) -> ops::residual::Stage {
        self.norm.stage(self.weight.clone(), self.stride, mode)
    }

    fn parameters(&self) -> impl Iterator<Item = Tensor> {
        std::iter::once(self.weight.clone()).chain(self.norm.parameters())
    }
}

/// A residual block: `relu(branch(x) + shortcut(x))`, where the stages of the branch follow each other with a ReLU between.
///
/// Feature maps are `(batch, height, width, channels)`.
#[derive(Debug, Clone)]
pub struct Residual {
    branch: Vec<ConvNorm>,
    shortcut: Option<ConvNorm>,
}

impl Residual {
    /// A block of these stages; without a shortcut the input itself is added.
    #[must_use]
    pub fn new(branch: Vec<ConvNorm>, shortcut: Option<ConvNorm>) -> Self {
        Self { branch, shortcut }
    }

    /// `(batch, height, width, channels)` to `(batch, height', width', channels')`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the first stage, for another rank or number of channels, and in training
    /// for a batch with fewer than two values a channel.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        Self::forward_all(std::slice::from_ref(self), x, mode)
    }

    /// [`forward`](Self::forward) of all blocks, one after the other. Quicker than one by one, as what passes between them is
    /// not copied.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_all(blocks: &[Self], x: &Tensor, mode: Mode) -> Result<Tensor> {
        let name = blocks.iter().flat_map(|block| &block.branch).next().map_or("residual", |stage| &stage.name);
        let block = |block: &Self| ops::residual::Block {
            branch: block.branch.iter().map(|stage| stage.stage(mode)).collect(),
            shortcut: block.shortcut.as_ref().map(|stage| stage.stage(mode)),
        };
        let op_blocks: Vec<_> = blocks.iter().map(block).collect();
        let (y, moments) = ops::residual::residual(x, &op_blocks).map_err(layer_error(name))?;
        let stages = blocks.iter().flat_map(|block| block.branch.iter().chain(&block.shortcut));
        for (stage, moments) in stages.zip(&moments) {
            stage.norm.track(moments)?;
        }
        Ok(y)
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        self.branch.iter().chain(&self.shortcut).flat_map(ConvNorm::parameters).collect()
    }
}

/// What stands in front of the first block: `max_pool(relu(stage(images)))` with pooling windows of 3 x 3 every second
/// pixel, padding 1.
///
/// Images are `(batch, channels, height, width)`, the feature maps that come out `(batch, height', width', channels')`.
#[derive(Debug, Clone)]
pub struct Stem {
    stage: ConvNorm,
}

impl Stem {
    /// A stem with this convolution.
    #[must_use]
    pub fn new(stage: ConvNorm) -> Self {
        Self { stage }
    }

    /// `(batch, channels, height, width)` to `(batch, height', width', channels')`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the convolution, for another rank or number of channels, an image smaller
    /// than the kernel, and in training for a batch with fewer than two values a channel.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let stage = self.stage.stage(mode);
        let (y, moments) = ops::residual::stem(images, &stage).map_err(layer_error(&self.stage.name))?;
        if let Some(moments) = moments {
            self.stage.norm.track(&moments)?;
        }
        Ok(y)
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        self.stage.parameters().collect()
    }
}

/// Mean of each channel over all pixels: feature maps `(batch, height, width, channels)`, as [`Residual`] gives them, to
/// `(batch, channels)`. Channels come last, not second as in images; `channels` says how many there must be.
///
/// # Errors
/// [`Error::Layer`](crate::Error::Layer) for another rank or number of channels, and for maps without pixels.
pub fn global_average_pool(x: &Tensor, channels: usize) -> Result<Tensor> {
    named("global average pool", ops::global_average_pool(x, channels))
}
