//! Linear map `y = x wᵀ + b`.

use candle_core::{Shape, Tensor};

use super::check::{bias_or_zeros, check_bias};
use crate::autograd::{Pass, apply, on_cpu_f32};
use crate::kernels::linear::Size;
use crate::op_error::OpError;

const OP: &str = "linear";

/// Weight and bias of a linear map, `(out, in)` and `(out)`.
pub type Map<'a> = (&'a Tensor, &'a Tensor);

/// `y = x wᵀ + b` for `x` of shape `(..., in)`, `weight` of shape `(out, in)` and `bias` of shape `(out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    check(OP, x, weight, bias)?;
    if !on_cpu_f32(&[x, weight, bias.unwrap_or(weight)]) {
        return composed(x, weight, bias);
    }
    let (outputs, inputs) = weight.dims2()?;
    let shape = with_last(x, outputs);
    let size = Size { rows: shape.dims().iter().rev().skip(1).product(), inputs, outputs };
    let bias = bias_or_zeros(bias, outputs)?;
    let forward = |[x, weight, bias]: [&[f32]; 3]| (size.forward(x, weight, bias), ());
    Ok(apply(OP, [x, weight, &bias], shape, forward, move |(), Pass { arguments: [x, weight, _], wanted, dy, .. }| {
        [
            wanted[0].then(|| size.input(weight, dy, &[])),
            wanted[1].then(|| size.weight(x, dy)),
            wanted[2].then(|| size.bias(dy)),
        ]
    })?)
}

/// The shape of `x` with another last dimension.
pub(super) fn with_last(x: &Tensor, size: usize) -> Shape {
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = size;
    }
    Shape::from(shape)
}

/// [`linear`](crate::ops::linear) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    let y = x.broadcast_matmul(&weight.t()?)?;
    match bias {
        Some(bias) => Ok(y.broadcast_add(bias)?),
        None => Ok(y),
    }
}

/// Whether the shapes fit together.
pub(super) fn check(op: &'static str, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<(), OpError> {
    let &[outputs, features] = weight.dims() else {
        return Err(OpError::Rank { op, argument: "weight", expected: "(out, in)", shape: weight.dims().to_vec() });
    };
    let Some(&input) = x.dims().last().filter(|_| x.rank() >= 2) else {
        return Err(OpError::Rank { op, argument: "x", expected: "(..., in)", shape: x.dims().to_vec() });
    };
    if input != features {
        return Err(OpError::Channels { op, input, weight: features });
    }
    check_bias(op, bias, outputs)
}
