//! The sub-layers of a transformer (Vaswani et al. 2017, section 3.1), each one op:
//!
//! ```text
//! y = norm(x + dropout(branch(x)))
//! ```
//!
//! The branch is multi-head self-attention with its output map, or the feed-forward part. Between its parts no gradient
//! goes through Candle's store, and that of `x` is summed where the last product of it is made.

use candle_core::{Shape, Tensor};

use super::OpError;
use super::activation::Activation;
use super::attention::{self, SelfAttention};
use super::autograd::{Backward, Computed, differentiable};
use super::dropout::Mask;
use super::feed_forward::{self, FeedForward, Map};
use super::layer_norm::{self, Norm, NormGradients};
use super::linear::{self, Size};
use super::sequences::Sequences;
use super::storage::{on_cpu_f32, tensors, with_values};

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
    /// Weight and bias of query, key and value: see [`self_attention`](super::attention::self_attention).
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
    let (attention, mut arguments) = SelfAttention::new(x, projections, size, heads, sequences, mask)?;
    arguments.extend([output.0.contiguous()?, output.1.contiguous()?]);
    let output = Size { rows: size.rows, inputs: size.outputs, outputs: size.inputs };
    run(ATTENTION, AttentionBranch { attention, output, heads: Vec::new() }, arguments, join)
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
    let (op, arguments) = FeedForward::new(x, first, activation, second)?;
    run(FEED_FORWARD, op, arguments, join)
}

/// [`attention_sublayer`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed_attention(x: &Tensor, branch: Attention, sequences: &Sequences, join: Join) -> Result<Tensor, OpError> {
    let Attention { projections, heads, mask, output } = branch;
    let y = attention::composed(x, projections, heads, sequences, mask)?;
    composed(x, &linear::composed(&y, output.0, Some(output.1))?, join)
}

/// [`feed_forward_sublayer`] in plain Candle ops.
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

/// What a sub-layer adds to its input. Arguments: `x`, then the branch's own.
pub(super) trait Branch: Send + Sync + 'static {
    /// The branch; what the backward pass needs is kept.
    fn forward(&mut self, arguments: &[Tensor]) -> candle_core::Result<Vec<f32>>;

    /// The gradients of the arguments for `dy`, that of the branch; `residual`, unless it is empty, is added to that of `x`.
    fn backward(
        &self,
        arguments: &[Tensor],
        dy: &[f32],
        residual: &[f32],
    ) -> candle_core::Result<Vec<Option<Vec<f32>>>>;
}

/// Self-attention, then a linear map of the joined heads. Arguments: those of [`SelfAttention`], weight and bias of the map.
struct AttentionBranch {
    attention: SelfAttention,
    output: Size,
    /// The joined heads.
    heads: Vec<f32>,
}

impl AttentionBranch {
    /// The attention's arguments; weight and bias of the output map.
    fn split(arguments: &[Tensor]) -> (&[Tensor], &Tensor, &Tensor) {
        let (attention, output) = arguments.split_at(arguments.len() - 2);
        (attention, &output[0], &output[1])
    }
}

impl Branch for AttentionBranch {
    fn forward(&mut self, arguments: &[Tensor]) -> candle_core::Result<Vec<f32>> {
        let (arguments, weight, bias) = Self::split(arguments);
        self.heads = self.attention.forward(arguments)?;
        with_values([weight, bias], |[weight, bias]| Ok(self.output.forward(&self.heads, weight, bias)))
    }

    fn backward(
        &self,
        arguments: &[Tensor],
        dy: &[f32],
        residual: &[f32],
    ) -> candle_core::Result<Vec<Option<Vec<f32>>>> {
        let (arguments, weight, bias) = Self::split(arguments);
        let dheads = with_values([weight], |[weight]| Ok(self.output.input(weight, dy, &[])))?;
        let mut gradients = self.attention.backward(arguments, &self.heads, &dheads, residual)?;
        gradients.push(weight.track_op().then(|| self.output.weight(&self.heads, dy)));
        gradients.push(bias.track_op().then(|| self.output.bias(dy)));
        Ok(gradients)
    }
}

/// Arguments: those of the branch, weight and bias of the normalisation.
struct Sublayer<B> {
    branch: B,
    norm: Norm,
    /// What the branch has made.
    values: Vec<f32>,
}

fn run(op: &'static str, mut branch: impl Branch, mut arguments: Vec<Tensor>, join: Join) -> Result<Tensor, OpError> {
    let (x, weight, bias) = (arguments[0].clone(), join.weight.contiguous()?, join.bias.contiguous()?);
    let norm = Norm { width: weight.dim(0)?, epsilon: join.epsilon, mask: join.mask };
    let values = branch.forward(&arguments)?;
    let y = with_values([&x, &weight, &bias], |[x, weight, bias]| Ok(norm.forward(x, &values, weight, bias)))?;
    arguments.extend([weight, bias]);
    let sublayer = Sublayer { branch, norm, values };
    Ok(differentiable(op, Computed::Values(y, Shape::from(x.dims())), arguments, sublayer)?)
}

impl<B: Branch> Backward for Sublayer<B> {
    fn backward(
        &self,
        arguments: &[Tensor],
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let gradient = gradient.contiguous()?;
        let (of_branch, of_norm) = arguments.split_at(arguments.len() - 2);
        let normed = with_values([&arguments[0], &of_norm[0], &gradient], |[x, weight, dy]| {
            Ok(self.norm.gradients(x, &self.values, weight, dy, true))
        })?;
        let mut gradients = self.branch.backward(of_branch, normed.branch(), &normed.sum)?;
        let NormGradients { weight, bias, .. } = normed;
        gradients.push(of_norm[0].track_op().then_some(weight));
        gradients.push(of_norm[1].track_op().then_some(bias));
        tensors(gradients, arguments)
    }
}
