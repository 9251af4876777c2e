//! The one way to write an op: its kernel on values, forward and backward.

use candle_core::{Result, Shape, Tensor, bail};

use super::record::{Computed, record};
use super::storage::{tensors, with_values};

/// What the backward pass of a function is given. All values are in row-major order.
pub(crate) struct Pass<'a, A, W> {
    /// The arguments of the forward pass.
    pub arguments: A,
    /// Whether somebody asks for the gradient of each argument.
    pub wanted: W,
    /// The result.
    pub y: &'a [f32],
    /// The gradient of the result.
    pub dy: &'a [f32],
}

/// A function of `N` tensors, each `f32` and on the CPU: its result has the given shape.
///
/// `forward` makes the result's values from the arguments', and whatever the backward pass needs besides; `backward` the
/// gradients of the arguments, `None` where none is wanted. All values are in row-major order, whatever the strides of the
/// arguments.
pub(crate) fn apply<const N: usize, Kept: Send + Sync + 'static>(
    name: &'static str,
    arguments: [&Tensor; N],
    shape: impl Into<Shape>,
    forward: impl FnOnce([&[f32]; N]) -> (Vec<f32>, Kept),
    backward: impl Fn(&Kept, Pass<[&[f32]; N], [bool; N]>) -> [Option<Vec<f32>>; N] + Send + Sync + 'static,
) -> Result<Tensor> {
    let forward = |arguments: &[&[f32]]| match arguments.try_into() {
        Ok(arguments) => Ok(forward(arguments)),
        Err(_) => bail!("{name}: {N} arguments, not {}", arguments.len()),
    };
    let backward = move |kept: &Kept, pass: Pass<&[&[f32]], &[bool]>| {
        let Pass { arguments, wanted, y, dy } = pass;
        match (arguments.try_into(), wanted.try_into()) {
            (Ok(arguments), Ok(wanted)) => Ok(backward(kept, Pass { arguments, wanted, y, dy }).into()),
            _ => bail!("{name}: {N} arguments, not {}", arguments.len()),
        }
    };
    apply_to_all(name, &arguments, shape, forward, backward)
}

/// [`apply`] of a function of any number of tensors.
pub(crate) fn apply_to_all<Kept: Send + Sync + 'static>(
    name: &'static str,
    arguments: &[&Tensor],
    shape: impl Into<Shape>,
    forward: impl FnOnce(&[&[f32]]) -> Result<(Vec<f32>, Kept)>,
    backward: impl Fn(&Kept, Pass<&[&[f32]], &[bool]>) -> Result<Vec<Option<Vec<f32>>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let arguments = arguments.iter().map(|argument| argument.contiguous()).collect::<Result<Vec<_>>>()?;
    let (values, kept) = with_values(&arguments, forward)?;
    let backward = move |arguments: &[Tensor], result: &Tensor, gradient: &Tensor| {
        let wanted: Vec<bool> = arguments.iter().map(Tensor::track_op).collect();
        let gradient = gradient.contiguous()?;
        let gradients = with_values(arguments.iter().chain([result, &gradient]), |values| {
            let [arguments @ .., y, dy] = values else { bail!("{name}: no result") };
            backward(&kept, Pass { arguments, wanted: &wanted, y, dy })
        })?;
        tensors(gradients, arguments)
    };
    record(name, Computed::Values(values, shape.into()), arguments, backward)
}
