//! What every optimiser can do.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::gradients::Gradients;
use crate::error::Result;

/// Changes parameters by their gradients.
pub trait Optimizer: Send {
    /// One step with learning rate `lr` (of groups with `lr_scale` 1).
    ///
    /// # Errors
    /// [`Error::MissingGradients`](crate::Error::MissingGradients) when a parameter of a group has no gradient,
    /// [`Error::UnknownGradients`](crate::Error::UnknownGradients) when a gradient has no parameter in any group,
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for a negative or non-finite rate. No parameter is changed
    /// then.
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()>;

    /// Copies of everything that the next step depends on besides the parameters, by name.
    ///
    /// # Errors
    /// When a copy cannot be made (no memory left).
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Continues where the optimiser that gave `state` was, to the last bit.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) names every missing, unknown, misshapen and non-finite tensor (the
    /// state of another kind of optimiser, or of another model); nothing is changed then.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}
