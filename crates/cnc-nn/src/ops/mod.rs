//! Differentiable operations whose backward pass is exact, and quick on the CPU.
//!
//! Each op is one module in three parts: the *composed* form in plain Candle ops (it runs on every device and data
//! type and is the oracle of the tests), the CPU kernel for `f32`, and the `CustomOp` that takes part in Candle's
//! autograd. The function named like the module picks; nothing outside knows which one ran.
//!
//! [`residual`] is a whole network of residual blocks in one: on the CPU a convolution reads what the one before gives and
//! normalises it on the way, so that of each convolution one tensor is kept, and nothing else. [`sublayer`] is half a
//! transformer layer in one.
//!
//! Results do not depend on the number of threads: work is cut into blocks by the shapes alone and partial sums are
//! added in the order of the blocks. The gradient of an input that nobody tracks is not computed.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use cnc_nn::ops::conv_relu_pool::conv_relu_pool;
//!
//! let images = Tensor::ones((2, 3, 8, 8), candle_core::DType::F32, &Device::Cpu)?;
//! let weight = Var::from_tensor(&Tensor::full(0.5f32, (4, 3, 3, 3), &Device::Cpu)?)?;
//! let features = conv_relu_pool(&images, &weight, None, 2)?; // (2, 4, 3, 3)
//! let gradients = features.sum_all()?.backward()?;
//! assert!(gradients.get(&weight).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod activation;
pub mod attention;
pub(crate) mod autograd;
pub mod batch_norm;
mod blocks;
pub(crate) mod collect;
pub mod conv2d;
pub mod conv_relu_pool;
pub mod dropout;
pub mod embedding;
mod error;
pub mod feed_forward;
mod gemm;
mod gradients;
pub mod layer_norm;
pub mod linear;
mod microkernel;
pub mod pool;
pub mod relu;
pub mod residual;
pub mod sequences;
mod simd;
pub mod softmax;
mod special;
mod storage;
pub mod sublayer;

pub use error::OpError;

use candle_core::{DType, Device, Tensor};

/// One value a channel in each of `arguments`.
fn check_by_channel(op: &'static str, channels: usize, arguments: &[&Tensor]) -> Result<(), OpError> {
    match arguments.iter().find(|argument| argument.dims() != [channels]) {
        Some(argument) => Err(OpError::ByChannel { op, channels, shape: argument.dims().to_vec() }),
        None => Ok(()),
    }
}

/// `count` if that many values of a channel have a variance; `x` is the tensor that they are in.
fn several_values(op: &'static str, count: usize, x: &Tensor) -> Result<usize, OpError> {
    if count > 1 { Ok(count) } else { Err(OpError::TooFewValues { op, count, shape: x.dims().to_vec() }) }
}

/// One bias value an output, if there is a bias at all.
fn check_bias(op: &'static str, bias: Option<&Tensor>, outputs: usize) -> Result<(), OpError> {
    match bias {
        Some(bias) if bias.dims() != [outputs] => {
            Err(OpError::Bias { op, expected: outputs, shape: bias.dims().to_vec() })
        }
        _ => Ok(()),
    }
}

/// The bias, or zeros that nobody tracks.
fn bias_or_zeros(bias: Option<&Tensor>, outputs: usize) -> candle_core::Result<Tensor> {
    match bias {
        Some(bias) => bias.contiguous(),
        None => Tensor::zeros(outputs, DType::F32, &Device::Cpu),
    }
}
