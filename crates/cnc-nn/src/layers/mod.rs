//! Layers: variables by PyTorch's names and with PyTorch's initial values, around the functions of [`ops`](crate::ops).

mod batch_norm;
mod conv2d;
mod conv_relu_pool;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod mode;
mod pool;
mod relu;
mod residual;
mod transformer;

pub use batch_norm::BatchNorm2d;
pub use conv_relu_pool::ConvReluPool;
pub use conv2d::{Conv2d, Conv2dOptions};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mode::Mode;
pub use pool::MaxPool2d;
pub use relu::relu;
pub use residual::{ConvNorm, Residual, Stem, global_average_pool};
pub use transformer::{AddNorm, FeedForward, SelfAttention};
