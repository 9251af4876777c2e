//! What several ops ask of their arguments.

use crate::op_error::OpError;
use candle_core::{DType, Device, Tensor};

/// One value a channel in each of `arguments`.
pub(super) fn check_by_channel(op: &'static str, channels: usize, arguments: &[&Tensor]) -> Result<(), OpError> {
    match arguments.iter().find(|argument| argument.dims() != [channels]) {
        Some(argument) => Err(OpError::ByChannel { op, channels, shape: argument.dims().to_vec() }),
        None => Ok(()),
    }
}

/// `count` if that many values of a channel have a variance; `x` is the tensor that they are in.
pub(super) fn several_values(op: &'static str, count: usize, x: &Tensor) -> Result<usize, OpError> {
    if count > 1 { Ok(count) } else { Err(OpError::TooFewValues { op, count, shape: x.dims().to_vec() }) }
}

/// One bias value an output, if there is a bias at all.
pub(super) fn check_bias(op: &'static str, bias: Option<&Tensor>, outputs: usize) -> Result<(), OpError> {
    match bias {
        Some(bias) if bias.dims() != [outputs] => {
            Err(OpError::Bias { op, expected: outputs, shape: bias.dims().to_vec() })
        }
        _ => Ok(()),
    }
}

/// The bias, or zeros that nobody tracks.
pub(super) fn bias_or_zeros(bias: Option<&Tensor>, outputs: usize) -> candle_core::Result<Tensor> {
    match bias {
        Some(bias) => bias.contiguous(),
        None => Tensor::zeros(outputs, DType::F32, &Device::Cpu),
    }
}
