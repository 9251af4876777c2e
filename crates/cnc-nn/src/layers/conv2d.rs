//! Two-dimensional convolution.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::mode::named;
use crate::error::Result;
use crate::init::pytorch_default;
use crate::ops;

/// Geometry of a [`Conv2d`]; both directions alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step between two positions of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros around the image.
    pub padding: usize,
    /// Whether a learnt number per output channel is added.
    pub bias: bool,
}

/// Convolution (cross-correlation) of images: `(batch, inputs, height, width)` to `(batch, outputs, height', width')`,
/// `height' = (height + 2 padding - kernel) / stride + 1`.
///
/// Variables: `weight (outputs, inputs, kernel, kernel)` and, if asked for, `bias (outputs,)`, initialised as
/// `torch.nn.Conv2d`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    name: String,
    weight: Tensor,
    bias: Option<Tensor>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// A layer of `inputs` to `outputs` channels, its variables under the prefix of `builder`.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(inputs: usize, outputs: usize, options: Conv2dOptions, builder: VarBuilder) -> Result<Self> {
        let Conv2dOptions { kernel, stride, padding, bias } = options;
        let init = pytorch_default(inputs * kernel * kernel);
        let bias = if bias { Some(builder.get_with_hints(outputs, "bias", init)?) } else { None };
        let weight = builder.get_with_hints((outputs, inputs, kernel, kernel), "weight", init)?;
        Ok(Self { name: builder.prefix(), weight, bias, stride, padding })
    }

    /// `(batch, inputs, height, width)` to `(batch, outputs, height', width')`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for another rank or number of channels, for an image smaller than the
    /// kernel and for a stride of 0.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let Self { name, weight, bias, stride, padding } = self;
        named(name, ops::conv2d(images, weight, bias.as_ref(), *stride, *padding))
    }

    /// `(outputs, inputs, kernel, kernel)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(outputs,)`, if it has one.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}
