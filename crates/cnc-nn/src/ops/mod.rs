//! Differentiable operations whose backward pass is exact, and quick on the CPU.
//!
//! Each op is one thin file: the check of its arguments, the *composed* form in plain Candle ops (it runs on every device and
//! data type, and is the [`oracle`](crate::oracle) of the tests), and the call of its kernel for `f32` on the CPU. The
//! function picks; nothing outside knows which one ran. Convolution, maximum pooling, batch norm and softmax by themselves have the
//! composed form alone: networks use them within [`conv_relu_pool`] and within the layers
//! [`Residual`](crate::layers::Residual) and [`Stem`](crate::layers::Stem).
//!
//! Results do not depend on the number of threads: work is cut into blocks by the shapes alone and partial sums are
//! added in the order of the blocks. The gradient of an input that nobody tracks is not computed.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use cnc_nn::ops::conv_relu_pool;
//!
//! let images = Tensor::ones((2, 3, 8, 8), candle_core::DType::F32, &Device::Cpu)?;
//! let weight = Var::from_tensor(&Tensor::full(0.5f32, (4, 3, 3, 3), &Device::Cpu)?)?;
//! let features = conv_relu_pool(&images, &weight, None, 2)?; // (2, 4, 3, 3)
//! let gradients = features.sum_all()?.backward()?;
//! assert!(gradients.get(&weight).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod batch_norm;
mod check;
pub(crate) mod conv2d;
pub(crate) mod conv_relu_pool;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod feed_forward;
pub(crate) mod layer_norm;
pub(crate) mod linear;
mod padding;
pub(crate) mod pool;
pub(crate) mod relu;
pub(crate) mod residual;
mod softmax;
pub(crate) mod sublayer;

pub use crate::kernels::activation::Activation;
pub use crate::kernels::dropout::Mask;
pub use crate::kernels::sequences::Sequences;
pub use crate::op_error::OpError;
pub use activation::activate;
pub use attention::self_attention;
pub use conv_relu_pool::conv_relu_pool;
pub use conv2d::conv2d;
pub use dropout::dropout;
pub use embedding::embedding;
pub use feed_forward::feed_forward;
pub use layer_norm::{add_norm, layer_norm};
pub use linear::{Map, linear};
pub use padding::{pad, unpad};
pub use pool::{global_average_pool, max_pool2d};
pub use relu::relu;
pub use softmax::softmax;
