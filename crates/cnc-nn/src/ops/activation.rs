//! Activations of transformers, value by value.

use candle_core::Tensor;

use super::relu;
use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::activation::{Activation, backward, forward};
use crate::op_error::OpError;

/// `activation` of each value of `x`, any shape.
///
/// # Errors
/// Only those of Candle.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor, OpError> {
    match activation {
        Activation::Relu => relu::relu(x),
        _ if on_cpu_f32(&[x]) => Ok(apply(
            "activation",
            [x],
            x.shape(),
            |[x]| (forward(activation, x), ()),
            move |(), pass| [Some(backward(activation, pass.arguments[0], pass.dy))],
        )?),
        _ => composed(x, activation),
    }
}

/// [`activate`](crate::ops::activate) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, activation: Activation) -> Result<Tensor, OpError> {
    match activation {
        Activation::Gelu => Ok(x.gelu_erf()?),
        Activation::GeluTanh => Ok(x.gelu()?),
        Activation::Relu => relu::composed(x),
    }
}
