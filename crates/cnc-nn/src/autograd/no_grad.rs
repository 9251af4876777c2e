//! Passes without gradients.

use candle_core::Tensor;

use super::context::{Within, with_context};

/// Runs `work` without recording what its ops do: results have no gradient, and what they were made from is freed as soon
/// as nobody else holds it. For evaluation and prediction: Candle otherwise keeps every intermediate result of a model
/// alive, as the weights of a model are variables.
///
/// It holds for the ops and layers of this crate, on the calling thread.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use cnc_nn::{no_grad, ops::relu};
///
/// let x = Var::new(&[-1f32, 2.0], &Device::Cpu)?;
/// let y = no_grad(|| relu(&x))?;
/// assert!(y.backward()?.get(&x).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn no_grad<R>(work: impl FnOnce() -> R) -> R {
    let _within = Within::new(true, |context| &mut context.untracked);
    work()
}

/// The result of an op in plain Candle ops, which [`no_grad`] does not reach: without its graph inside it.
pub(crate) fn recorded(result: Tensor) -> Tensor {
    if with_context(|context| context.untracked) { result.detach() } else { result }
}
