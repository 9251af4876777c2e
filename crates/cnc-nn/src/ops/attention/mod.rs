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

mod head;

use candle_core::{D, Device, Shape, Tensor};
use rayon::prelude::*;

use super::OpError;
use super::autograd::{Backward, Computed, differentiable};
use super::dropout::Mask;
use super::feed_forward::Map;
use super::gemm::MatrixMut;
use super::linear::{self, Size};
use super::sequences::Sequences;
use super::storage::{on_cpu_f32, tensors, with_values};
use head::{Head, HeadGradients};

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
    let (mut op, arguments) = SelfAttention::new(x, projections, size, heads, sequences, mask)?;
    let y = op.forward(&arguments)?;
    let shape = Shape::from((size.rows, size.outputs));
    Ok(differentiable(OP, Computed::Values(y, shape), arguments, op)?)
}

/// [`self_attention`] in plain Candle ops: sequences padded to the longest, padding masked.
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
    let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * scale(width / heads))?;
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

/// What scores are multiplied with.
fn scale(head_width: usize) -> f64 {
    1.0 / (head_width as f64).sqrt()
}

/// Number of the first row of a head's mask; heads are counted over all sequences.
fn first_row(head: u64) -> u64 {
    head << 32
}

/// Arguments: `x`, then weight and bias of query, key and value.
pub(super) struct SelfAttention {
    size: Size,
    heads: usize,
    sequences: Sequences,
    mask: Option<Mask>,
    /// Query, key and value, each `(rows, width)`.
    projected: [Vec<f32>; 3],
    /// For each head of each sequence the logarithm of the sum of each row's exponentials.
    log_sums: Vec<Vec<f32>>,
}

impl SelfAttention {
    /// For shapes that fit together: the op and its arguments.
    pub fn new(
        x: &Tensor,
        projections: [Map; 3],
        size: Size,
        heads: usize,
        sequences: &Sequences,
        mask: Option<Mask>,
    ) -> candle_core::Result<(Self, Vec<Tensor>)> {
        let projected = [const { Vec::new() }; 3];
        let op = Self { size, heads, sequences: sequences.clone(), mask, projected, log_sums: Vec::new() };
        let maps = projections.into_iter().flat_map(|(weight, bias)| [weight, bias]);
        let arguments = std::iter::once(x).chain(maps).map(Tensor::contiguous);
        Ok((op, arguments.collect::<candle_core::Result<_>>()?))
    }

    /// `N` matrices of `(rows, width)`; `write` is given the heads of the sequences of each, in the order of
    /// [`heads`](Self::heads), and overwrites all of their values, with products alone.
    fn written<const N: usize>(&self, write: impl FnOnce([Vec<MatrixMut<'_>>; N])) -> [Vec<f32>; N] {
        let (rows, width) = (self.size.rows, self.size.outputs);
        let columns: Vec<usize> = (0..=self.heads).map(|head| head * (width / self.heads)).collect();
        let mut matrices = [(); N].map(|()| Vec::with_capacity(rows * width));
        write(matrices.each_mut().map(|values| {
            let values = &mut values.spare_capacity_mut()[..rows * width];
            // SAFETY: a product that overwrites its destination does not read it.
            unsafe { MatrixMut::unwritten(values, rows, width) }.cut(self.sequences.bounds(), &columns)
        }));
        // SAFETY: the heads are all of the values.
        matrices.iter_mut().for_each(|values| unsafe { values.set_len(rows * width) });
        matrices
    }

    /// The heads, in the same order.
    fn heads(&self) -> Vec<Head<'_>> {
        let (width, heads) = (self.size.outputs, self.heads);
        let head = |(i, rows): (usize, std::ops::Range<usize>), head: usize| Head {
            projected: [0, 1, 2].map(|i| self.projected[i].as_slice()),
            rows,
            column: head * (width / heads),
            head_width: width / heads,
            width,
            mask: self.mask.map(|mask| (mask, first_row((i * heads + head) as u64))),
        };
        self.sequences.ranges().enumerate().flat_map(|place| (0..heads).map(move |i| head(place.clone(), i))).collect()
    }

    /// The joined heads.
    pub fn forward(&mut self, arguments: &[Tensor]) -> candle_core::Result<Vec<f32>> {
        let [x, wq, bq, wk, bk, wv, bv] = [0, 1, 2, 3, 4, 5, 6].map(|i| &arguments[i]);
        self.projected = with_values([x, wq, bq, wk, bk, wv, bv], |[x, wq, bq, wk, bk, wv, bv]| {
            Ok([(wq, bq), (wk, bk), (wv, bv)].map(|(weight, bias)| self.size.forward(x, weight, bias)))
        })?;
        let mut log_sums = Vec::new();
        let [y] = self.written(|[heads]| {
            let work = self.heads().into_par_iter().zip(heads);
            log_sums = work.map_init(Vec::new, |scratch, (head, y)| head.forward(y, scratch)).collect();
        });
        self.log_sums = log_sums;
        Ok(y)
    }

    /// The gradients of the arguments for `dy`, that of the joined heads `y`; `residual`, unless it is empty, is added to
    /// that of `x`.
    pub fn backward(
        &self,
        arguments: &[Tensor],
        y: &[f32],
        dy: &[f32],
        residual: &[f32],
    ) -> candle_core::Result<Vec<Option<Vec<f32>>>> {
        let [x, wq, wk, wv] = [0, 1, 3, 5].map(|i| &arguments[i]);
        let tracked: Vec<bool> = arguments.iter().map(Tensor::track_op).collect();
        with_values([x, wq, wk, wv], |[x, wq, wk, wv]| {
            let projected = self.gradients(y, dy);
            let dx = tracked[0].then(|| {
                let mut dx = self.size.input(wq, &projected[0], residual);
                self.size.add_input(wk, &projected[1], &mut dx);
                self.size.add_input(wv, &projected[2], &mut dx);
                dx
            });
            let wanted = [0, 1, 2].map(|i| tracked[1 + 2 * i].then_some(projected[i].as_slice()));
            let mut gradients = vec![dx];
            for (i, weight) in self.size.weights(x, wanted).into_iter().enumerate() {
                gradients.push(weight);
                gradients.push(tracked[2 + 2 * i].then(|| self.size.bias(&projected[i])));
            }
            Ok(gradients)
        })
    }

    /// The gradients of query, key and value for that of the result.
    fn gradients(&self, y: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        self.written(|[dq, dk, dv]| {
            let gradient_parts = dq.into_par_iter().zip(dk).zip(dv);
            self.heads().into_par_iter().zip(&self.log_sums).zip(gradient_parts).for_each_init(
                Vec::new,
                |scratch, ((head, log_sums), ((query, key), value))| {
                    head.backward(y, dy, log_sums, HeadGradients { query, key, value }, scratch);
                },
            );
        })
    }
}

impl Backward for SelfAttention {
    fn backward(
        &self,
        arguments: &[Tensor],
        result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let gradient = gradient.contiguous()?;
        let gradients = with_values([result, &gradient], |[y, dy]| self.backward(arguments, y, dy, &[]))?;
        tensors(gradients, arguments)
    }
}
