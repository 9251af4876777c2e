//! Layers: variables by PyTorch's names and with PyTorch's initial values, around the functions of [`ops`].

mod batch_norm;
mod conv2d;
mod conv_relu_pool;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod pool;
mod residual;
mod transformer;

pub use batch_norm::BatchNorm2d;
pub use conv_relu_pool::ConvReluPool;
pub use conv2d::{Conv2d, Conv2dOptions};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use pool::MaxPool2d;
pub use residual::{ConvNorm, Residual, Stem, global_average_pool};
pub use transformer::{AddNorm, FeedForward, SelfAttention};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::ops::{self, OpError};

/// Whether a model learns at the moment: some layers then act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A training step. Random layers draw from `seed` and their own name; give each step another seed.
    Train {
        /// Seed of this step.
        seed: u64,
    },
    /// Evaluation: nothing is random.
    Eval,
}

/// `max(x, 0)`, any shape. The gradient at 0 is 0, as in PyTorch (Candle's own has 1).
///
/// # Errors
/// [`Error::Layer`] when there is no memory left.
pub fn relu(input: &Tensor) -> Result<Tensor> {
    named("relu", ops::relu::relu(input))
}

/// Tells in which layer an op failed.
fn named(layer: &str, result: std::result::Result<Tensor, OpError>) -> Result<Tensor> {
    result.map_err(layer_error(layer))
}

fn layer_error(layer: &str) -> impl FnOnce(OpError) -> Error {
    move |source| Error::Layer { layer: layer.to_owned(), source: Box::new(source) }
}
