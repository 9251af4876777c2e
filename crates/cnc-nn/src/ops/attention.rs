//! Multi-head self-attention (Vaswani et al. 2017, section 3.2), from the tokens to the joined heads.
//!
//! ```text
//! q, k, v = x wqᵀ + bq, x wkᵀ + bk, x wvᵀ + bv
//! p       = dropout(softmax(q kᵀ / √(width of a head)))      of each head and sequence
//! y       = p v
//! ```
//!
//! Sequences follow each other without padding, and tokens see those of their own sequence alone: what a padding mask says
//! to leave out is not there. Of the probabilities, `length²` values a head, nothing is kept but the logarithm of each row's
//! sum; the backward pass computes them again from that, a block of queries at a time (Dao et al. 2022, "FlashAttention",
//! section 3.1), and draws the same mask again.

use candle_core::{D, Device, Tensor};

use super::linear::{self, Map};
use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::attention::{Attention, first_row, score_scale};
use crate::kernels::dropout::Mask;
use crate::kernels::linear::Size;
use crate::kernels::sequences::Sequences;
use crate::op_error::OpError;

const OP: &str = "self_attention";

/// Attention of the rows of `x`, shape `(rows, in)`, to the rows of their own sequence: `(rows, width)`.
///
/// `projections` are weight `(width, in)` and bias `(width)` of query, key and value. `mask` drops probabilities.
///
/// # Errors
/// Wrong shapes, sequences that are not the rows of `x`, and [`OpError::Heads`] where `heads` do not divide the width.
pub fn self_attention(
    x: &Tensor,
    projections: [Map; 3],
    heads: usize,
    sequences: &Sequences,
    mask: Option<Mask>,
) -> Result<Tensor, OpError> {
    let size = check(x, projections, heads, sequences)?;
    let [(wq, bq), (wk, bk), (wv, bv)] = projections;
    if !on_cpu_f32(&[x, wq, bq, wk, bk, wv, bv]) {
        return composed(x, projections, heads, sequences, mask);
    }
    let kernel = Attention { size, heads, sequences: sequences.clone(), mask };
    let backward = kernel.clone();
    Ok(apply(
        OP,
        [x, wq, bq, wk, bk, wv, bv],
        (size.rows, size.outputs),
        |arguments| kernel.forward(arguments),
        move |kept, pass| backward.backward(kept, pass.arguments, [pass.y, pass.dy], &[], pass.wanted),
    )?)
}

/// [`self_attention`](crate::ops::self_attention) in plain Candle ops: sequences padded to the longest, padding masked.
///
/// # Errors
/// Only those of Candle.
pub fn composed(
    x: &Tensor,
    projections: [Map; 3],
    heads: usize,
    sequences: &Sequences,
    mask: Option<Mask>,
) -> Result<Tensor, OpError> {
    let (count, longest) = (sequences.count(), sequences.longest());
    let width = projections[0].0.dim(0)?;
    if sequences.rows() == 0 {
        return Ok(Tensor::zeros((0, width), x.dtype(), x.device())?);
    }
    // For each place of the padded batch its row (any row for padding), what is added to scores of its key, and the places of
    // the rows.
    let (mut rows, mut bias, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (i, range) in sequences.ranges().enumerate() {
        places.extend((0..range.len()).map(|token| (i * longest + token) as u32));
        rows.extend(range.clone().map(|row| row as u32));
        rows.resize((i + 1) * longest, 0);
        bias.resize(i * longest + range.len(), 0.0);
        bias.resize((i + 1) * longest, f32::MIN);
    }
    let index = |values: Vec<u32>| Tensor::from_vec(values.clone(), values.len(), &Device::Cpu)?.to_device(x.device());
    let rows = index(rows)?;
    let split = |(weight, bias): Map| -> Result<Tensor, OpError> {
        let y = linear::composed(x, weight, Some(bias))?.index_select(&rows, 0)?;
        // (count, heads, longest, width of a head)
        Ok(y.reshape((count, longest, heads, width / heads))?.transpose(1, 2)?.contiguous()?)
    };
    let [q, k, v] = [split(projections[0])?, split(projections[1])?, split(projections[2])?];
    let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * score_scale(width / heads))?;
    let bias = Tensor::from_vec(bias, (count, 1, 1, longest), x.device())?.to_dtype(x.dtype())?;
    let mut p = candle_nn::ops::softmax(&scores.broadcast_add(&bias)?, D::Minus1)?;
    if let Some(mask) = mask {
        let row = |head: u64| (0..longest as u64).map(move |query| mask.row(first_row(head) + query));
        let mask = (0..(count * heads) as u64).flat_map(row);
        let mask = mask.flat_map(|row| (0..longest as u32).map(move |key| row.factor(key))).collect::<Vec<f32>>();
        p = (p * Tensor::from_vec(mask, (count, heads, longest, longest), x.device())?.to_dtype(x.dtype())?)?;
    }
    let y = p.matmul(&v)?.transpose(1, 2)?.reshape((count * longest, width))?;
    Ok(y.index_select(&index(places)?, 0)?)
}

/// The size of the projections, if all shapes fit together.
pub(super) fn check(x: &Tensor, projections: [Map; 3], heads: usize, sequences: &Sequences) -> Result<Size, OpError> {
    let &[rows, inputs] = x.dims() else {
        return Err(OpError::Rank { op: OP, argument: "x", expected: "(rows, in)", shape: x.dims().to_vec() });
    };
    for (weight, bias) in projections {
        linear::check(OP, x, weight, Some(bias))?;
    }
    let [width, keys, values] = projections.map(|(weight, _)| weight.dims()[0]);
    if let Some(other) = [keys, values].into_iter().find(|other| *other != width) {
        return Err(OpError::Channels { op: OP, input: width, weight: other });
    }
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(OpError::Heads { heads, width });
    }
    if sequences.rows() != rows {
        return Err(OpError::Sequences { op: OP, rows, expected: sequences.rows() });
    }
    Ok(Size { rows, inputs, outputs: width })
}
