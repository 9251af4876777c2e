//! Vectors by number.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::mode::named;
use crate::error::Result;
use crate::ops;

/// A table of vectors: words, positions, segments.
///
/// Variables: `weight (count, width)`.
#[derive(Debug, Clone)]
pub struct Embedding {
    name: String,
    weight: Tensor,
}

impl Embedding {
    /// A table of `count` vectors of `width`, its variable under the prefix of `builder`.
    ///
    /// # Errors
    /// When the variable exists already with another shape.
    pub fn new(count: usize, width: usize, init: Init, builder: VarBuilder) -> Result<Self> {
        Ok(Self { name: builder.prefix(), weight: builder.get_with_hints((count, width), "weight", init)? })
    }

    /// The vector of each id: `(ids, width)`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for an id that the table does not have.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        named(&self.name, ops::embedding(&self.weight, ids))
    }

    /// `(count, width)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}
