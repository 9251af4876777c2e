//! Tokens to the representation of each token: embeddings and transformer layers.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use cnc_base::inputs::Tokens;
use cnc_nn::layers::{AddNorm, Dropout, Embedding, FeedForward, LayerNorm, Linear, Mode, SelfAttention};
use cnc_nn::ops::{Sequences, embedding};
use cnc_nn::{no_grad, recompute};

use super::config::BertConfig;
use super::names::Names;
use super::sequences::Texts;
use crate::error::Result;

/// A linear map with BERT's initial values: `N(0, initializer_range)` and a bias of 0.
pub(super) fn linear(inputs: usize, outputs: usize, config: &BertConfig, builder: VarBuilder) -> Result<Linear> {
    let init = [Init::Randn { mean: 0.0, stdev: config.deviation }, Init::Const(0.0)];
    Ok(Linear::with_init(inputs, outputs, init, builder)?)
}

fn dropout(probability: f64, builder: &VarBuilder) -> Result<Dropout> {
    Ok(Dropout::new(probability, builder.prefix())?)
}

/// Some of the rows.
fn select(x: &Tensor, rows: &[u32]) -> cnc_nn::Result<Tensor> {
    Ok(embedding(x, rows).map_err(candle_core::Error::from)?)
}

/// Whether the activations of layers are kept for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activations {
    /// Kept: quicker.
    Kept,
    /// Of each layer only its input is kept, and the layer is computed again: less memory.
    Recomputed,
}

#[derive(Debug)]
pub(super) struct Encoder {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    pub activations: Activations,
}

impl Encoder {
    /// Its variables under the prefix of `builder`.
    pub fn new(config: &BertConfig, names: &Names, builder: &VarBuilder) -> Result<Self> {
        let embeddings = Embeddings::new(config, &builder.pp("embeddings"))?;
        let layer = |i| Layer::new(config, names, &builder.pp(names.layers).pp(i));
        let layers = (0..config.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { embeddings, layers, activations: Activations::Kept })
    }

    /// The representation of each token in `only`, or of all without it: `(rows, width)`. The first `frozen` stages (the
    /// embeddings, then the layers) are run without gradients.
    pub fn forward(&self, texts: &Texts<'_>, mode: Mode, frozen: usize, only: Option<&[u32]>) -> Result<Tensor> {
        let embed = || self.embeddings.forward(texts.tokens, mode);
        let mut x = if frozen > 0 { no_grad(embed)?.detach() } else { embed()? };
        for (i, layer) in self.layers.iter().enumerate() {
            // The layers before the last look at all tokens.
            let only = only.filter(|_| i + 1 == self.layers.len());
            x = match self.activations {
                _ if i + 1 < frozen => no_grad(|| layer.forward(&x, &texts.sequences, mode, only))?,
                Activations::Kept => layer.forward(&x, &texts.sequences, mode, only)?,
                Activations::Recomputed => {
                    let (segment, sequences) = (layer.clone(), texts.sequences.clone());
                    let only = only.map(<[u32]>::to_vec);
                    let segment = move |x: &Tensor| segment.forward(x, &sequences, mode, only.as_deref());
                    recompute(&x, &layer.parameters(), segment)?
                }
            };
        }
        Ok(x)
    }
}

/// The sum of the embeddings of words, positions and segments, normalised.
#[derive(Debug)]
struct Embeddings {
    words: Embedding,
    positions: Embedding,
    types: Option<Embedding>,
    norm: LayerNorm,
    dropout: Dropout,
}

impl Embeddings {
    fn new(config: &BertConfig, builder: &VarBuilder) -> Result<Self> {
        let table = |count, name| {
            let init = Init::Randn { mean: 0.0, stdev: config.deviation };
            Embedding::new(count, config.width, init, builder.pp(name))
        };
        let types = (config.types > 0).then(|| table(config.types, "token_type_embeddings")).transpose()?;
        Ok(Self {
            words: table(config.vocabulary, "word_embeddings")?,
            positions: table(config.positions, "position_embeddings")?,
            types,
            norm: LayerNorm::new(config.width, config.epsilon, builder.pp("LayerNorm"))?,
            dropout: dropout(config.hidden_dropout, builder)?,
        })
    }

    fn forward(&self, tokens: &Tokens, mode: Mode) -> Result<Tensor> {
        let mut x = self.words.forward(tokens.ids())?;
        if let Some(types) = &self.types {
            x = (x + types.forward(tokens.segments())?)?;
        }
        let positions = self.positions.forward(tokens.positions())?;
        Ok(self.dropout.forward(&self.norm.forward_sum(&x, &positions, None)?, mode)?)
    }
}

/// Attention and feed-forward part, each added to its input and normalised after that.
#[derive(Debug, Clone)]
struct Layer {
    attention: SelfAttention,
    output: Linear,
    attention_join: AddNorm,
    feed_forward: FeedForward,
    join: AddNorm,
}

impl Layer {
    fn new(config: &BertConfig, names: &Names, builder: &VarBuilder) -> Result<Self> {
        let BertConfig { width, hidden, .. } = *config;
        let map = |name, inputs, outputs| linear(inputs, outputs, config, builder.pp(name));
        let [query, key, value] = names.projections;
        let projections = [map(query, width, width)?, map(key, width, width)?, map(value, width, width)?];
        let join = |dropped, norm| -> Result<AddNorm> {
            let norm = LayerNorm::new(width, config.epsilon, builder.pp(norm))?;
            Ok(AddNorm::new(dropout(config.hidden_dropout, &builder.pp(dropped))?, norm))
        };
        let (first, second) = (map(names.first, width, hidden)?, map(names.second, hidden, width)?);
        let probabilities = dropout(config.attention_dropout, &builder.pp("attention.self"))?;
        Ok(Self {
            attention: SelfAttention::new(projections, config.heads, probabilities),
            output: map(names.attention_output, width, width)?,
            attention_join: join("attention.output", names.attention_norm)?,
            feed_forward: FeedForward::new(first, config.activation, second),
            join: join("output", names.norm)?,
        })
    }

    /// For the tokens in `only`, or for all: attention looks at all tokens, what follows at each by itself.
    fn forward(&self, x: &Tensor, sequences: &Sequences, mode: Mode, only: Option<&[u32]>) -> cnc_nn::Result<Tensor> {
        let x = match only {
            Some(rows) => {
                let heads = select(&self.attention.forward(x, sequences, mode)?, rows)?;
                self.attention_join.forward(&select(x, rows)?, &self.output.forward(&heads)?, mode)?
            }
            None => self.attention.sublayer(x, sequences, &self.output, &self.attention_join, mode)?,
        };
        self.feed_forward.sublayer(&x, &self.join, mode)
    }

    fn parameters(&self) -> Vec<Tensor> {
        let norms = [&self.attention_join, &self.join].into_iter().flat_map(AddNorm::parameters);
        let maps = self.output.parameters().into_iter().chain(self.feed_forward.parameters());
        self.attention.parameters().into_iter().chain(maps).chain(norms).collect()
    }
}
