//! The two parts of a transformer layer that are more than one linear map.

use candle_core::Tensor;

use super::{Dropout, Linear, Mode, named};
use crate::error::Result;
use crate::ops::activation::Activation;
use crate::ops::attention::self_attention;
use crate::ops::feed_forward::feed_forward;
use crate::ops::sequences::Sequences;

/// Multi-head self-attention of sequences without padding; see [`ops::attention`](crate::ops::attention).
#[derive(Debug, Clone)]
pub struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
    dropout: Dropout,
}

impl SelfAttention {
    /// Attention of this many heads by these maps of query, key and value; `dropout` drops probabilities.
    #[must_use]
    pub fn new([query, key, value]: [Linear; 3], heads: usize, dropout: Dropout) -> Self {
        Self { query, key, value, heads, dropout }
    }

    /// `(rows, in)` to the joined heads, `(rows, width)`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the map of the query, for another size, heads that do not divide the
    /// width, and sequences that are not the rows of `x`.
    pub fn forward(&self, x: &Tensor, sequences: &Sequences, mode: Mode) -> Result<Tensor> {
        let maps = [&self.query, &self.key, &self.value].map(|map| (map.weight(), map.bias()));
        named(self.query.name(), self_attention(x, maps, self.heads, sequences, self.dropout.mask(mode)))
    }

    /// What [`checkpoint`](crate::checkpoint) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        [&self.query, &self.key, &self.value].into_iter().flat_map(Linear::parameters).collect()
    }
}

/// Two linear maps with an activation between; see [`ops::feed_forward`](crate::ops::feed_forward).
#[derive(Debug, Clone)]
pub struct FeedForward {
    first: Linear,
    activation: Activation,
    second: Linear,
}

impl FeedForward {
    /// `second` after `activation` after `first`.
    #[must_use]
    pub fn new(first: Linear, activation: Activation, second: Linear) -> Self {
        Self { first, activation, second }
    }

    /// `(..., in)` to `(..., out)`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) names the first map, for sizes that do not fit together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second] = [&self.first, &self.second].map(|map| (map.weight(), map.bias()));
        named(self.first.name(), feed_forward(x, first, self.activation, second))
    }

    /// What [`checkpoint`](crate::checkpoint) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        [&self.first, &self.second].into_iter().flat_map(Linear::parameters).collect()
    }
}
