//! A batch of texts without its padding.

use candle_core::{DType, Tensor};
use cnc_nn::ops::sequences::Sequences;

use super::config::BertConfig;
use crate::error::{Error, Result};

/// The tokens of a batch, one text after the other. What the mask hides is left out, so that nothing of it is computed; a
/// token keeps the position that it has with the padding.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    pub positions: Vec<u32>,
    pub types: Vec<u32>,
    pub sequences: Sequences,
    /// A text whose first token is hidden, if there is one.
    pub without_first: Option<usize>,
}

impl Tokens {
    /// Checks `ids`, `mask` and `type_ids`, all `(batch, length)`.
    pub fn new(ids: &Tensor, mask: &Tensor, type_ids: &Tensor, config: &BertConfig) -> Result<Self> {
        for tensor in [ids, mask, type_ids] {
            if tensor.rank() != 2 || tensor.dims() != ids.dims() || tensor.dtype() != DType::U32 {
                let found = format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
                return Err(Error::TokenShape { found });
            }
        }
        let rows = ids.to_vec2::<u32>()?.into_iter().zip(mask.to_vec2::<u32>()?).zip(type_ids.to_vec2::<u32>()?);
        let (mut all, mut positions, mut types) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lengths, mut without_first) = (Vec::new(), None);
        for (row, ((ids, mask), type_ids)) in rows.enumerate() {
            let before = all.len();
            let tokens = ids.iter().zip(&mask).zip(&type_ids).enumerate().filter(|(_, ((_, mask), _))| **mask != 0);
            for (position, ((id, _), type_id)) in tokens {
                if position >= config.positions {
                    return Err(Error::TooLong { row, positions: config.positions });
                }
                let known = [("token", *id, config.vocabulary), ("segment", *type_id, config.types)];
                // A model without segments takes any.
                if let Some((kind, id, count)) = known.into_iter().find(|(_, id, n)| *n > 0 && *id as usize >= *n) {
                    return Err(Error::UnknownToken { kind, id, row, position, count });
                }
                all.push(*id);
                positions.push(position as u32);
                types.push(*type_id);
            }
            if all.len() == before {
                return Err(Error::EmptyText { row });
            }
            if mask.first() == Some(&0) && without_first.is_none() {
                without_first = Some(row);
            }
            lengths.push(all.len() - before);
        }
        Ok(Self { ids: all, positions, types, sequences: Sequences::new(&lengths), without_first })
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
