//! The feed-forward part of a transformer layer: `y = activation(x w1ᵀ + b1) w2ᵀ + b2`.
//!
//! Of the hidden units only the sums before the activation are kept; the backward pass computes the activation again, which
//! costs less than a pass over memory.

use candle_core::{Shape, Tensor};

use super::activation::{self, Activation};
use super::autograd::{Backward, Computed, differentiable};
use super::gemm::{Matrix, product_and_copy};
use super::linear::{self, Size, add};
use super::storage::{on_cpu_f32, tensors, with_values};
use super::sublayer::Branch;
use super::{OpError, linear::composed as composed_linear};

const OP: &str = "feed_forward";

/// Weight and bias of a linear map, `(out, in)` and `(out)`.
pub type Map<'a> = (&'a Tensor, &'a Tensor);

/// `x` of shape `(..., in)` through `first`, the activation and `second`: `(..., out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn feed_forward(x: &Tensor, first: Map, activation: Activation, second: Map) -> Result<Tensor, OpError> {
    check(x, first, second)?;
    if !on_cpu_f32(&[x, first.0, first.1, second.0, second.1]) {
        return composed(x, first, activation, second);
    }
    let (mut op, arguments) = FeedForward::new(x, first, activation, second)?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = op.second.outputs;
    }
    let y = op.forward(&arguments)?;
    Ok(differentiable(OP, Computed::Values(y, Shape::from(shape)), arguments, op)?)
}

/// Whether the shapes fit together.
pub(super) fn check(x: &Tensor, first: Map, second: Map) -> Result<(), OpError> {
    linear::check(OP, x, first.0, Some(first.1))?;
    // What the second map is given has the outputs of the first.
    linear::check(OP, &first.0.t()?, second.0, Some(second.1))
}

/// [`feed_forward`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, first: Map, activation: Activation, second: Map) -> Result<Tensor, OpError> {
    let hidden = activation::composed(&composed_linear(x, first.0, Some(first.1))?, activation)?;
    composed_linear(&hidden, second.0, Some(second.1))
}

/// Arguments: `x`, `w1`, `b1`, `w2`, `b2`.
pub(super) struct FeedForward {
    activation: Activation,
    first: Size,
    second: Size,
    /// `x w1ᵀ + b1`.
    sums: Vec<f32>,
}

impl FeedForward {
    /// For shapes that fit together: the op and its arguments.
    pub fn new(
        x: &Tensor,
        first: Map,
        activation: Activation,
        second: Map,
    ) -> candle_core::Result<(Self, Vec<Tensor>)> {
        let (hidden, inputs) = first.0.dims2()?;
        let rows = x.dims().iter().rev().skip(1).product();
        let op = Self {
            activation,
            first: Size { rows, inputs, outputs: hidden },
            second: Size { rows, inputs: hidden, outputs: second.0.dim(0)? },
            sums: Vec::new(),
        };
        let arguments = [x, first.0, first.1, second.0, second.1].into_iter().map(Tensor::contiguous);
        Ok((op, arguments.collect::<candle_core::Result<_>>()?))
    }

    /// The gradient of the sums, and the hidden units again.
    fn hidden_gradient(&self, w2: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Size { rows, inputs, outputs } = self.second;
        let (dy, w2) = (Matrix::new(dy, rows, outputs), Matrix::new(w2, outputs, inputs));
        let [dsums, hidden] = product_and_copy(dy, w2, |[dsums, hidden], row, columns| {
            self.activation.backward(&self.sums[row * inputs..][columns.clone()], hidden, dsums);
        });
        (dsums, hidden)
    }
}

impl Branch for FeedForward {
    fn forward(&mut self, arguments: &[Tensor]) -> candle_core::Result<Vec<f32>> {
        let Size { rows, inputs, outputs } = self.first;
        with_values([0, 1, 2, 3, 4].map(|i| &arguments[i]), |[x, w1, b1, w2, b2]| {
            let (x, w1) = (Matrix::new(x, rows, inputs), Matrix::new(w1, outputs, inputs).transposed());
            let [sums, hidden] = product_and_copy(x, w1, |[sums, hidden], _, columns| {
                add(sums, &b1[columns.clone()]);
                self.activation.forward(sums, hidden);
            });
            self.sums = sums;
            Ok(self.second.forward(&hidden, w2, b2))
        })
    }

    fn backward(
        &self,
        arguments: &[Tensor],
        dy: &[f32],
        residual: &[f32],
    ) -> candle_core::Result<Vec<Option<Vec<f32>>>> {
        let [x, w1, w2] = [0, 1, 3].map(|i| &arguments[i]);
        let tracked: Vec<bool> = arguments.iter().map(Tensor::track_op).collect();
        with_values([x, w1, w2], |[x, w1, w2]| {
            let (dsums, hidden) = self.hidden_gradient(w2, dy);
            let dw2 = tracked[3].then(|| self.second.weight(&hidden, dy));
            drop(hidden);
            let dx = tracked[0].then(|| self.first.input(w1, &dsums, residual));
            let dw1 = tracked[1].then(|| self.first.weight(x, &dsums));
            let db1 = tracked[2].then(|| self.first.bias(&dsums));
            Ok(vec![dx, dw1, db1, dw2, tracked[4].then(|| self.second.bias(dy))])
        })
    }
}

impl Backward for FeedForward {
    fn backward(
        &self,
        arguments: &[Tensor],
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let gradient = gradient.contiguous()?;
        let gradients = with_values([&gradient], |[dy]| Branch::backward(self, arguments, dy, &[]))?;
        tensors(gradients, arguments)
    }
}
