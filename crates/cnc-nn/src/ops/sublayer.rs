//! The sub-layers of a transformer (Vaswani et al. 2017, section 3.1), each one op:
//!
//! ```text
//! y = norm(x + dropout(branch(x)))
//! ```
//!
//! The branch is multi-head self-attention with its output map, or the feed-forward part. Between its parts no gradient
//! goes through Candle's store, and that of `x` is summed where the last product of it is made.

use candle_core::Tensor;

use super::linear::{self, Map};
use super::{attention, feed_forward, layer_norm};
use crate::autograd::{Pass, apply, on_cpu_f32};
use crate::kernels::activation::Activation;
use crate::kernels::attention::{Attention as Kernel, Kept};
use crate::kernels::dropout::Mask;
use crate::kernels::layer_norm::Norm;
use crate::kernels::linear::Size;
use crate::kernels::sequences::Sequences;
use crate::op_error::OpError;

const ATTENTION: &str = "attention_sublayer";
const FEED_FORWARD: &str = "feed_forward_sublayer";

/// How a branch is added to its input: what is dropped of it, and the normalisation of the sum, `weight` and `bias` of shape
/// `(width)`.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    /// Drops values of the branch.
    pub mask: Option<Mask>,
    /// Of the normalisation.
    pub weight: &'a Tensor,
    /// Of the normalisation.
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Multi-head self-attention and the map of its joined heads.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Weight and bias of query, key and value: see [`self_attention`](crate::ops::self_attention).
    pub projections: [Map<'a>; 3],
    /// Heads, which divide the projections' width.
    pub heads: usize,
    /// Drops probabilities.
    pub mask: Option<Mask>,
    /// Of the joined heads, `(in, width)` and `(in)`.
    pub output: Map<'a>,
}

/// `x` of shape `(rows, in)`, the rows of `sequences`, through attention: the same shape.
///
/// # Errors
/// Wrong shapes, sequences that are not the rows of `x`, and [`OpError::Heads`] where heads do not divide the width.
pub fn attention_sublayer(x: &Tensor, branch: Attention, sequences: &Sequences, join: Join) -> Result<Tensor, OpError> {
    let Attention { projections, heads, mask, output } = branch;
    let size = attention::check(x, projections, heads, sequences)?;
    // What the output map is given has the width of the projections.
    linear::check(ATTENTION, &projections[0].0.t()?, output.0, Some(output.1))?;
    check(ATTENTION, x, output, join)?;
    let [(wq, bq), (wk, bk), (wv, bv)] = projections;
    if !on_cpu_f32(&[x, wq, bq, wk, bk, wv, bv, output.0, output.1, join.weight, join.bias]) {
        return composed_attention(x, branch, sequences, join);
    }
    let kernel = Kernel { size, heads, sequences: sequences.clone(), mask };
    let (again, norm) = (kernel.clone(), join.norm()?);
    let output_size = Size { rows: size.rows, inputs: size.outputs, outputs: size.inputs };
    // What is kept are the joined heads, what they were made from, and the branch.
    let forward = |[x, wq, bq, wk, bk, wv, bv, wo, bo, weight, bias]: [&[f32]; 11]| {
        let (heads, kept) = kernel.forward([x, wq, bq, wk, bk, wv, bv]);
        let branch = output_size.forward(&heads, wo, bo);
        (norm.forward(x, &branch, weight, bias), (heads, kept, branch))
    };
    let backward = move |(heads, kept, branch): &(Vec<f32>, Kept, Vec<f32>), pass: Pass<[&[f32]; 11], [bool; 11]>| {
        let [x, wq, bq, wk, bk, wv, bv, wo, _, weight, _] = pass.arguments;
        let [w0, w1, w2, w3, w4, w5, w6, wo_wanted, bo_wanted, ..] = pass.wanted;
        let of_norm = norm.gradients(x, branch, weight, pass.dy, true);
        let dy = of_norm.branch();
        let dheads = output_size.input(wo, dy, &[]);
        let (arguments, wanted) = ([x, wq, bq, wk, bk, wv, bv], [w0, w1, w2, w3, w4, w5, w6]);
        let gradients = again.backward(kept, arguments, [heads, &dheads], &of_norm.sum, wanted);
        let [dx, dwq, dbq, dwk, dbk, dwv, dbv] = gradients;
        let dwo = wo_wanted.then(|| output_size.weight(heads, dy));
        let dbo = bo_wanted.then(|| output_size.bias(dy));
        [dx, dwq, dbq, dwk, dbk, dwv, dbv, dwo, dbo, Some(of_norm.weight), Some(of_norm.bias)]
    };
    let (wo, bo) = output;
    let arguments = [x, wq, bq, wk, bk, wv, bv, wo, bo, join.weight, join.bias];
    Ok(apply(ATTENTION, arguments, x.shape(), forward, backward)?)
}

/// `x` of shape `(..., in)` through `first`, the activation and `second`, which returns to `in`: the same shape.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn feed_forward_sublayer(
    x: &Tensor,
    first: Map,
    activation: Activation,
    second: Map,
    join: Join,
) -> Result<Tensor, OpError> {
    feed_forward::check(x, first, second)?;
    check(FEED_FORWARD, x, second, join)?;
    if !on_cpu_f32(&[x, first.0, first.1, second.0, second.1, join.weight, join.bias]) {
        return composed_feed_forward(x, first, activation, second, join);
    }
    let (kernel, norm) = (feed_forward::kernel(x, first, activation, second)?, join.norm()?);
    // What is kept are the sums before the activation, and the branch.
    let forward = |[x, w1, b1, w2, b2, weight, bias]: [&[f32]; 7]| {
        let (branch, sums) = kernel.forward([x, w1, b1, w2, b2]);
        (norm.forward(x, &branch, weight, bias), (sums, branch))
    };
    let backward = move |(sums, branch): &(Vec<f32>, Vec<f32>), pass: Pass<[&[f32]; 7], [bool; 7]>| {
        let [x, w1, b1, w2, b2, weight, _] = pass.arguments;
        let [of_x, of_w1, of_b1, of_w2, of_b2, ..] = pass.wanted;
        let of_norm = norm.gradients(x, branch, weight, pass.dy, true);
        let (arguments, wanted) = ([x, w1, b1, w2, b2], [of_x, of_w1, of_b1, of_w2, of_b2]);
        let [dx, dw1, db1, dw2, db2] = kernel.backward(sums, arguments, of_norm.branch(), &of_norm.sum, wanted);
        [dx, dw1, db1, dw2, db2, Some(of_norm.weight), Some(of_norm.bias)]
    };
    let arguments = [x, first.0, first.1, second.0, second.1, join.weight, join.bias];
    Ok(apply(FEED_FORWARD, arguments, x.shape(), forward, backward)?)
}

impl Join<'_> {
    fn norm(&self) -> candle_core::Result<Norm> {
        Ok(Norm { width: self.weight.dim(0)?, epsilon: self.epsilon, mask: self.mask })
    }
}

/// [`attention_sublayer`](crate::ops::sublayer::attention_sublayer) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed_attention(x: &Tensor, branch: Attention, sequences: &Sequences, join: Join) -> Result<Tensor, OpError> {
    let Attention { projections, heads, mask, output } = branch;
    let y = attention::composed(x, projections, heads, sequences, mask)?;
    composed(x, &linear::composed(&y, output.0, Some(output.1))?, join)
}

/// [`feed_forward_sublayer`](crate::ops::sublayer::feed_forward_sublayer) in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed_feed_forward(
    x: &Tensor,
    first: Map,
    activation: Activation,
    second: Map,
    join: Join,
) -> Result<Tensor, OpError> {
    composed(x, &feed_forward::composed(x, first, activation, second)?, join)
}

fn composed(x: &Tensor, branch: &Tensor, join: Join) -> Result<Tensor, OpError> {
    layer_norm::composed_add_norm(x, branch, join.mask, join.weight, join.bias, join.epsilon)
}

/// Whether the branch ends in what it is added to.
fn check(op: &'static str, x: &Tensor, last: Map, join: Join) -> Result<(), OpError> {
    let width = layer_norm::check(x, join.weight, join.bias)?;
    let outputs = last.0.dim(0)?;
    if outputs == width {
        return Ok(());
    }
    let mut branch = x.dims().to_vec();
    if let Some(last) = branch.last_mut() {
        *last = outputs;
    }
    Err(OpError::Branch { op, x: x.dims().to_vec(), branch })
}
