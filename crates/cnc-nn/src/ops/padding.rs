//! Between padded batches with a mask, as most programs have them, and rows without padding, as attention reads them.

use candle_core::Tensor;

use super::Sequences;
use crate::op_error::OpError;

/// The tokens of a padded batch that its attention mask keeps: rows `(rows, dim)`, and where the sequences lie in them.
///
/// `x` is `(batch, length, dim)`, `mask` `(batch, length)` of u8, u32 or i64: 0 hides a token, anything else keeps it. A hidden
/// token may stand anywhere. Gradients pass to the tokens that are kept.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnc_nn::ops::{pad, unpad};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let x = Tensor::new(&[[[1f32], [2.0], [0.0]], [[3.0], [0.0], [0.0]]], &Device::Cpu)?;
/// let (rows, sequences) = unpad(&x, &Tensor::new(&[[1u8, 1, 0], [1, 0, 0]], &Device::Cpu)?)?;
/// assert_eq!(rows.flatten_all()?.to_vec1::<f32>()?, [1.0, 2.0, 3.0]);
/// assert_eq!(pad(&rows, &sequences)?.dims(), [2, 2, 1]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Wrong shapes or types.
pub fn unpad(x: &Tensor, mask: &Tensor) -> Result<(Tensor, Sequences), OpError> {
    let &[batch, length, dim] = x.dims() else {
        return Err(rank("x", "(batch, length, dim)", x));
    };
    if mask.dims() != [batch, length] {
        return Err(rank("mask", "(batch, length) of `x`", mask));
    }
    let mask = mask.ne(0u32)?.to_vec2::<u8>()?;
    let lengths: Vec<usize> = mask.iter().map(|tokens| tokens.iter().filter(|kept| **kept != 0).count()).collect();
    let kept = mask.iter().flatten().zip(0u32..).filter_map(|(kept, place)| (*kept != 0).then_some(place));
    let rows = x.reshape((batch * length, dim))?.index_select(&Tensor::from_iter(kept, x.device())?, 0)?;
    Ok((rows, Sequences::new(&lengths)))
}

/// Rows `(rows, dim)` of sequences as a batch `(count, longest, dim)`, zeros behind the shorter ones.
///
/// # Errors
/// Wrong shapes.
pub fn pad(rows: &Tensor, sequences: &Sequences) -> Result<Tensor, OpError> {
    let &[count, dim] = rows.dims() else { return Err(rank("rows", "(rows, dim)", rows)) };
    if count != sequences.rows() {
        return Err(OpError::Sequences { op: "pad", rows: count, expected: sequences.rows() });
    }
    // One more row, of zeros, for all padding.
    let with_zeros = rows.pad_with_zeros(0, 0, 1)?;
    let longest = sequences.longest();
    let places = sequences.ranges().flat_map(|range| {
        let padding = longest - range.len();
        range.chain(std::iter::repeat_n(count, padding)).map(|row| row as u32)
    });
    let places = Tensor::from_iter(places, rows.device())?;
    Ok(with_zeros.index_select(&places, 0)?.reshape((sequences.count(), longest, dim))?)
}

fn rank(argument: &'static str, expected: &'static str, found: &Tensor) -> OpError {
    OpError::Rank { op: "padding", argument, expected, shape: found.dims().to_vec() }
}
