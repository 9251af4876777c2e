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
mod optimizer;
mod schedule;
mod sgd;

pub use accumulating::Accumulating;
pub use adamw::{AdamW, AdamWOptions};
pub use gradients::Gradients;
pub use group::ParameterGroup;
pub use optimizer::Optimizer;
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdOptions};
