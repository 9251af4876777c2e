//! The texts of a batch, checked against the sizes of a model.

use candle_core::{DType, Tensor};
use cnc_base::inputs::{Inputs, Token, Tokens};
use cnc_nn::ops::Sequences;

use super::config::BertConfig;
use crate::error::{Error, Result};

/// The tokens of a batch, of which a model has every one, and where each text lies.
#[derive(Debug, Clone)]
pub(super) struct Texts<'a> {
    pub tokens: &'a Tokens,
    pub sequences: Sequences,
}

impl<'a> Texts<'a> {
    pub fn new(tokens: &'a Tokens, config: &BertConfig) -> Result<Self> {
        let sequences = Sequences::new(tokens.lengths());
        for (row, range) in sequences.ranges().enumerate() {
            if range.is_empty() {
                return Err(Error::EmptyText { row });
            }
            let of_text = |values: &'a [u32]| values.iter().take(range.end).skip(range.start).copied();
            let text = of_text(tokens.ids()).zip(of_text(tokens.positions())).zip(of_text(tokens.segments()));
            for ((id, position), segment) in text {
                let position = position as usize;
                if position >= config.positions {
                    return Err(Error::TooLong { row, positions: config.positions });
                }
                let known = [("token", id, config.vocabulary), ("segment", segment, config.types)];
                // A model without segments takes any.
                if let Some((kind, id, count)) = known.into_iter().find(|(_, id, n)| *n > 0 && *id as usize >= *n) {
                    return Err(Error::UnknownToken { kind, id, row, position, count });
                }
            }
        }
        Ok(Self { tokens, sequences })
    }

    /// A text that does not begin at its first position, if there is one.
    pub fn without_first(&self) -> Option<usize> {
        let starts = |first: usize| self.tokens.positions().get(first) == Some(&0);
        self.sequences.ranges().position(|rows| !starts(rows.start))
    }

    /// The row of each text's first token.
    pub fn first(&self) -> Vec<u32> {
        self.sequences.ranges().map(|rows| rows.start as u32).collect()
    }

    /// The matrix `(batch, rows)` that makes means of rows `(rows, width)` of each text.
    pub fn means(&self, like: &Tensor) -> Result<Tensor> {
        let rows = self.sequences.rows();
        let mut values = vec![0f32; self.sequences.count() * rows];
        for (i, range) in self.sequences.ranges().enumerate() {
            values[i * rows..][range.clone()].fill(1.0 / range.len() as f32);
        }
        Ok(Tensor::from_vec(values, (self.sequences.count(), rows), like.device())?)
    }
}

/// The texts of a padded batch, as other libraries have it, without their padding: `ids`, `mask` and `type_ids`, all
/// `(batch, length)` of u32. What the mask hides (0) is left out; a token keeps the position that it has in the padded text.
///
/// # Errors
/// [`Error::TokenShape`] for tensors of other shapes or types.
pub fn unpadded(ids: &Tensor, mask: &Tensor, type_ids: &Tensor) -> Result<Inputs> {
    for tensor in [ids, mask, type_ids] {
        if tensor.rank() != 2 || tensor.dims() != ids.dims() || tensor.dtype() != DType::U32 {
            let found = format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
            return Err(Error::TokenShape { found });
        }
    }
    let rows = ids.to_vec2::<u32>()?.into_iter().zip(mask.to_vec2::<u32>()?).zip(type_ids.to_vec2::<u32>()?);
    let mut tokens = Tokens::default();
    for ((ids, mask), segments) in rows {
        let padded = (0..).zip(ids).zip(segments).zip(mask);
        let seen = padded.filter(|(_, mask)| *mask != 0);
        tokens.push_tokens(seen.map(|(((position, id), segment), _)| Token { id, position, segment }));
    }
    Ok(Inputs::Tokens(tokens))
}
