//! Fully connected layer.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::mode::named;
use crate::error::Result;
use crate::init::pytorch_default;
use crate::ops;

/// `y = x W^T + b`: `(..., inputs)` to `(..., outputs)`.
///
/// Variables: `weight (outputs, inputs)` and, unless it is [`without_bias`](Self::without_bias), `bias (outputs,)`,
/// initialised as `torch.nn.Linear`.
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
        Self::with_init(inputs, outputs, [init, init], builder)
    }

    /// `y = x W^T`, as `torch.nn.Linear(bias=False)`: the only variable is `weight`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_bias(inputs: usize, outputs: usize, builder: VarBuilder) -> Result<Self> {
        let weight = builder.get_with_hints((outputs, inputs), "weight", pytorch_default(inputs))?;
        let bias = Tensor::zeros(outputs, weight.dtype(), weight.device())?;
        Ok(Self { name: builder.prefix(), weight, bias })
    }

    /// [`new`](Self::new) with other initial values of weight and bias.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_init(inputs: usize, outputs: usize, [weight, bias]: [Init; 2], builder: VarBuilder) -> Result<Self> {
        Ok(Self {
            name: builder.prefix(),
            weight: builder.get_with_hints((outputs, inputs), "weight", weight)?,
            bias: builder.get_with_hints(outputs, "bias", bias)?,
        })
    }

    /// `(..., inputs)` to `(..., outputs)`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the last dimension is not `inputs`.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        named(&self.name, ops::linear(input, &self.weight, Some(&self.bias)))
    }

    /// `(outputs, inputs)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(outputs,)`; zeros that are no variable in a layer without bias.
    #[must_use]
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
