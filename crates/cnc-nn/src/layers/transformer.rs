//! The parts of a transformer layer that are more than one linear map.

use candle_core::Tensor;

use super::dropout::Dropout;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::mode::{Mode, named};
use crate::error::Result;
use crate::ops::sublayer::{Attention, attention_sublayer, feed_forward_sublayer};
use crate::ops::{Activation, Map, Sequences, feed_forward, self_attention};

/// How the branches of a transformer layer join their input: dropout, sum and normalisation.
#[derive(Debug, Clone)]
pub struct AddNorm {
    dropout: Dropout,
    norm: LayerNorm,
}

impl AddNorm {
    /// `norm(x + dropout(branch))`.
    #[must_use]
    pub fn new(dropout: Dropout, norm: LayerNorm) -> Self {
        Self { dropout, norm }
    }

    /// `x` and `branch`, both `(..., width)`, to the same shape.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when the last dimension is not `width`, or the two shapes differ.
    pub fn forward(&self, x: &Tensor, branch: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward_sum(x, branch, self.dropout.mask(mode))
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> [Tensor; 2] {
        self.norm.parameters()
    }
}

fn map(linear: &Linear) -> Map<'_> {
    (linear.weight(), linear.bias())
}

/// Multi-head self-attention of sequences without padding; see [`self_attention`].
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
        let maps = [&self.query, &self.key, &self.value].map(map);
        named(self.query.name(), self_attention(x, maps, self.heads, sequences, self.dropout.mask(mode)))
    }

    /// [`forward`](Self::forward), the map `output` of the joined heads, and the sum with `x`, normalised: `(rows, in)` to the
    /// same shape.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and for an output of another width than `x`.
    pub fn sublayer(
        &self,
        x: &Tensor,
        sequences: &Sequences,
        output: &Linear,
        join: &AddNorm,
        mode: Mode,
    ) -> Result<Tensor> {
        let branch = Attention {
            projections: [&self.query, &self.key, &self.value].map(map),
            heads: self.heads,
            mask: self.dropout.mask(mode),
            output: map(output),
        };
        let join = join.norm.join(join.dropout.mask(mode));
        named(self.query.name(), attention_sublayer(x, branch, sequences, join))
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        [&self.query, &self.key, &self.value].into_iter().flat_map(Linear::parameters).collect()
    }
}

/// Two linear maps with an activation between; see [`feed_forward`].
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
        named(self.first.name(), feed_forward(x, map(&self.first), self.activation, map(&self.second)))
    }

    /// [`forward`](Self::forward) and the sum with `x`, normalised: `(..., in)` to the same shape.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and for an output of another width than `x`.
    pub fn sublayer(&self, x: &Tensor, join: &AddNorm, mode: Mode) -> Result<Tensor> {
        let (first, second) = (map(&self.first), map(&self.second));
        let join = join.norm.join(join.dropout.mask(mode));
        named(self.first.name(), feed_forward_sublayer(x, first, self.activation, second, join))
    }

    /// What [`recompute`](crate::recompute) needs to know: every variable that has a gradient.
    #[must_use]
    pub fn parameters(&self) -> Vec<Tensor> {
        [&self.first, &self.second].into_iter().flat_map(Linear::parameters).collect()
    }
}
