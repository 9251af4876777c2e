//! Fully connected layer.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::named;
use crate::error::Result;
use crate::init::pytorch_default;
use crate::ops;

/// `y = x W^T + b`: `(..., inputs)` to `(..., outputs)`.
///
/// Variables: `weight (outputs, inputs)` and `bias (outputs,)`, initialised as `torch.nn.Linear`.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A layer of `inputs` to `outputs` units, its variables under the prefix of `builder`.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(inputs: usize, outputs: usize, builder: VarBuilder) -> Result<Self> {
        let init = pytorch_default(inputs);
        Ok(Self {
            name: builder.prefix(),
            weight: builder.get_with_hints((outputs, inputs), "weight", init)?,
            bias: builder.get_with_hints(outputs, "bias", init)?,
        })
    }

    /// `(..., inputs)` to `(..., outputs)`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the last dimension is not `inputs`.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        named(&self.name, ops::linear::linear(input, &self.weight, Some(&self.bias)))
    }

    /// `(outputs, inputs)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(outputs,)`.
    #[must_use]
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}
