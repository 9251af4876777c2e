//! Gradients of variables on a way past Candle's store: it adds each to zeros of its own, which takes several passes over
//! memory, and more of it.

use std::collections::HashMap;

use candle_core::{Result, Tensor, TensorId};

use super::context::{Within, with_context};

/// Runs `backward` and returns the gradients that ops of this crate have, on the calling thread, for these variables. The
/// store of the backward pass holds what other ops have for them.
pub(crate) fn collecting<'a, R>(
    variables: impl Iterator<Item = &'a Tensor>,
    backward: impl FnOnce() -> R,
) -> (R, HashMap<TensorId, Tensor>) {
    let none_yet = variables.map(|variable| (variable.id(), None)).collect();
    let within = Within::new(Some(none_yet), |context| &mut context.collected);
    let result = backward();
    let collected = with_context(|context| context.collected.take()).unwrap_or_default();
    drop(within);
    (result, collected.into_iter().filter_map(|(id, gradient)| Some((id, gradient?))).collect())
}

/// Takes the gradient of an argument of an op if that is a variable whose gradient is being collected; else gives it back,
/// for Candle's store.
pub(super) fn collect(argument: &Tensor, gradient: Option<Tensor>) -> Result<Option<Tensor>> {
    if !argument.is_variable() {
        return Ok(gradient);
    }
    with_context(|context| match (&mut context.collected, gradient) {
        (Some(collected), Some(gradient)) => match collected.get_mut(&argument.id()) {
            Some(sum) => {
                *sum = Some(match sum.take() {
                    Some(earlier) => (earlier + gradient)?,
                    None => gradient,
                });
                Ok(None)
            }
            None => Ok(Some(gradient)),
        },
        (_, gradient) => Ok(gradient),
    })
}
