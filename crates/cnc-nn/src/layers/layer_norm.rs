//! Normalisation of rows.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::mode::named;
use crate::error::Result;
use crate::ops::sublayer::Join;
use crate::ops::{self, Mask};

/// Normalises each row; see [`layer_norm`](crate::ops::layer_norm).
///
/// Variables as `torch.nn.LayerNorm`: `weight (width,)`, at first 1, and `bias (width,)`, at first 0.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// A layer for rows of `width`, its variables under the prefix of `builder`. `epsilon` is added to the variance.
    ///
    /// # Errors
    /// When the variables exist already with another shape.
    pub fn new(width: usize, epsilon: f64, builder: VarBuilder) -> Result<Self> {
        Ok(Self {
            name: builder.prefix(),
            weight: builder.get_with_hints(width, "weight", Init::Const(1.0))?,
            bias: builder.get_with_hints(width, "bias", Init::Const(0.0))?,
            epsilon,
        })
    }

    /// `(..., width)` to the same shape.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the last dimension is not `width`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        named(&self.name, ops::layer_norm(x, &self.weight, &self.bias, self.epsilon))
    }

    /// [`forward`](Self::forward) of `x + branch`, of which `mask` drops values of the branch; in one pass over memory.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the last dimension is not `width`, or the two shapes differ.
    pub fn forward_sum(&self, x: &Tensor, branch: &Tensor, mask: Option<Mask>) -> Result<Tensor> {
        let Self { weight, bias, epsilon, .. } = self;
        named(&self.name, ops::add_norm(x, branch, mask, weight, bias, *epsilon))
    }

    /// How a branch, of which `mask` drops values, is added to its input.
    pub(super) fn join(&self, mask: Option<Mask>) -> Join<'_> {
        Join { mask, weight: &self.weight, bias: &self.bias, epsilon: self.epsilon }
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }
}
