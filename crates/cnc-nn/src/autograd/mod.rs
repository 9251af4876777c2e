//! How ops take part in Candle's autograd. There is one way to make a function differentiable: [`apply`] its kernel, and say
//! how the gradients of its arguments are made.
//!
//! - [`apply`](apply::apply): a function with a CPU kernel, values in, values out. What every op calls.
//! - [`record`]: its record in Candle's graph, for any number of arguments.
//! - [`collect`]: gradients of variables on their way to the optimiser, past Candle's store.
//! - [`recompute`](recompute::recompute): a part of a model that is run again in the backward pass.
//! - [`no_grad`]: nothing is recorded.
//! - [`storage`]: the values behind tensors.

mod apply;
mod collect;
mod context;
mod no_grad;
mod recompute;
mod record;
mod storage;

pub(crate) use apply::{Pass, apply, apply_to_all};
pub(crate) use collect::collecting;
pub use no_grad::no_grad;
pub(crate) use no_grad::recorded;
pub use recompute::recompute;
pub(crate) use recompute::recomputing;
pub(crate) use record::is_recorded;
pub(crate) use storage::{on_cpu_f32, slice};
