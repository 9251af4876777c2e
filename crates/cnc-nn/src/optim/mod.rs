//! Optimisers with parameter groups and state that can be saved, schedules, and the gradients on their way in.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use cnc_nn::optim::{Gradients, Optimizer, ParameterGroup, Schedule, Sgd, SgdOptions};
//! use cnc_nn::{Parameters, layers::Linear};
//!
//! let parameters = Parameters::new(0, &Device::Cpu);
//! let model = Linear::new(2, 1, parameters.builder())?;
//! let group = ParameterGroup { parameters: parameters.trainable(), weight_decay: 1e-4, lr_scale: 1.0 };
//! let mut optimizer = Sgd::new(vec![group], SgdOptions { momentum: 0.9, nesterov: false })?;
//! let schedule = Schedule::LinearWithWarmup { warmup: 2, steps: 10 };
//!
//! let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
//! for step in 0..10 {
//!     let loss = model.forward(&x)?.sqr()?.sum_all()?;
//!     let mut gradients = Gradients::of(&loss, &parameters.trainable())?;
//!     gradients.clip(1.0)?;
//!     optimizer.step(&gradients, 0.1 * schedule.factor(step))?;
//! }
//! # Ok::<(), cnc_nn::Error>(())
//! ```

mod accumulating;
mod adamw;
mod gradients;
mod group;
mod numbers;
mod schedule;
mod sgd;

use std::collections::BTreeMap;

use candle_core::Tensor;

pub use accumulating::Accumulating;
pub use adamw::{AdamW, AdamWOptions};
pub use gradients::Gradients;
pub use group::ParameterGroup;
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdOptions};

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
