//! Convolution, ReLU and max pooling as one layer.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::mode::named;
use crate::error::Result;
use crate::init::pytorch_default;
use crate::ops;

/// `max_pool(relu(conv(x)))` with stride 1, no padding, and pooling windows side by side: the block that LeNet is made
/// of. On the CPU it is one pass over memory instead of three.
///
/// `(batch, inputs, height, width)` to `(batch, outputs, height', width')`, `height' = (height - kernel + 1) / pool`.
/// Variables as [`Conv2d`](super::Conv2d).
#[derive(Debug, Clone)]
pub struct ConvReluPool {
    name: String,
    weight: Tensor,
    bias: Tensor,
    pool: usize,
}

impl ConvReluPool {
    /// A layer of `inputs` to `outputs` channels with square kernels and pooling windows of the given sides.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, pool: usize, builder: VarBuilder) -> Result<Self> {
        let init = pytorch_default(inputs * kernel * kernel);
        Ok(Self {
            name: builder.prefix(),
            weight: builder.get_with_hints((outputs, inputs, kernel, kernel), "weight", init)?,
            bias: builder.get_with_hints(outputs, "bias", init)?,
            pool,
        })
    }

    /// `(batch, inputs, height, width)` to `(batch, outputs, height', width')`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for another rank or number of channels, and for an image that leaves
    /// nothing to pool.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let Self { name, weight, bias, pool } = self;
        named(name, ops::conv_relu_pool(images, weight, Some(bias), *pool))
    }
}
