//! What all layers share.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::op_error::OpError;

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

/// Tells in which layer an op failed.
pub(super) fn named(layer: &str, result: std::result::Result<Tensor, OpError>) -> Result<Tensor> {
    result.map_err(layer_error(layer))
}

pub(super) fn layer_error(layer: &str) -> impl FnOnce(OpError) -> Error {
    move |source| Error::Layer { layer: layer.to_owned(), source: Box::new(source) }
}
