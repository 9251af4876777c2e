//! Recomputation of activations: memory for time.

use candle_core::{Tensor, Var};

use super::context::{Within, with_context};
use super::record::{Computed, record};
use crate::error::Result;

/// Runs `segment`, a part of a model, on `input` and keeps nothing but its result; the backward pass runs the segment again
/// and then has what it needs (Chen et al. 2016, "Training deep nets with sublinear memory cost").
///
/// `parameters` are all variables that the segment uses and that are to have gradients. The gradients are those without
/// recomputation to the last bit, as long as the segment does the same each time it runs; layers of this crate do:
/// masks of dropout are drawn from the same seed, and running statistics of batch norm are not updated again.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use cnc_nn::{ops::relu, recompute};
///
/// let x = Var::new(&[-1f32, 2.0], &Device::Cpu)?;
/// let scale = Var::new(&[3f32, 3.0], &Device::Cpu)?;
/// let segment = {
///     let scale = scale.as_tensor().clone();
///     move |x: &Tensor| Ok(relu(&(x * &scale)?).map_err(candle_core::Error::from)?)
/// };
/// let y = recompute(&x, &[scale.as_tensor().clone()], segment)?;
/// let gradients = y.backward()?;
/// assert_eq!(gradients.get(&scale).map(|g| g.to_vec1::<f32>()).transpose()?, Some(vec![0.0, 2.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of the segment.
pub fn recompute(
    input: &Tensor,
    parameters: &[Tensor],
    segment: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let result = Computed::Tensor(segment(&input.detach())?.detach());
    let arguments = std::iter::once(input).chain(parameters).cloned().collect();
    let backward = move |arguments: &[Tensor], _: &Tensor, gradient: &Tensor| {
        let Some((input, parameters)) = arguments.split_first() else { return Ok(Vec::new()) };
        // An input that nobody tracks (images) gets no gradient here either.
        let start = if input.track_op() { Var::from_tensor(&input.detach())?.into_inner() } else { input.clone() };
        let again = run_again(&segment, &start).map_err(candle_core::Error::wrap)?;
        let mut gradients = (again * gradient)?.sum_all()?.backward()?;
        Ok(std::iter::once(&start).chain(parameters).map(|argument| gradients.remove(argument)).collect())
    };
    Ok(record("recompute", result, arguments, backward)?)
}

/// Whether a segment is being run again: state that a forward pass updates has been updated already.
pub(crate) fn recomputing() -> bool {
    with_context(|context| context.recomputing)
}

fn run_again(segment: impl Fn(&Tensor) -> Result<Tensor>, input: &Tensor) -> Result<Tensor> {
    let _within = Within::new(true, |context| &mut context.recomputing);
    segment(input)
}
