//! Two linear maps with an activation between.

use super::activation::Activation;
use super::gemm::{Matrix, product_and_copy};
use super::linear::{Size, add};

/// `y = activation(x w1ᵀ + b1) w2ᵀ + b2`.
#[derive(Clone, Copy)]
pub(crate) struct FeedForward {
    pub activation: Activation,
    pub first: Size,
    pub second: Size,
}

impl FeedForward {
    /// The result, and the sums `x w1ᵀ + b1` for the backward pass.
    pub fn forward(&self, [x, w1, b1, w2, b2]: [&[f32]; 5]) -> (Vec<f32>, Vec<f32>) {
        let Size { rows, inputs, outputs } = self.first;
        let (x, w1) = (Matrix::new(x, rows, inputs), Matrix::new(w1, outputs, inputs).transposed());
        let [sums, hidden] = product_and_copy(x, w1, |[sums, hidden], _, columns| {
            add(sums, &b1[columns.clone()]);
            self.activation.forward(sums, hidden);
        });
        (self.second.forward(&hidden, w2, b2), sums)
    }

    /// The gradients of the arguments for `dy`, that of the result; `residual`, unless it is empty, is added to that of `x`.
    pub fn backward(
        &self,
        sums: &[f32],
        [x, w1, _, w2, _]: [&[f32]; 5],
        dy: &[f32],
        residual: &[f32],
        wanted: [bool; 5],
    ) -> [Option<Vec<f32>>; 5] {
        let (dsums, hidden) = self.hidden_gradient(sums, w2, dy);
        let dw2 = wanted[3].then(|| self.second.weight(&hidden, dy));
        drop(hidden);
        let dx = wanted[0].then(|| self.first.input(w1, &dsums, residual));
        let dw1 = wanted[1].then(|| self.first.weight(x, &dsums));
        let db1 = wanted[2].then(|| self.first.bias(&dsums));
        [dx, dw1, db1, dw2, wanted[4].then(|| self.second.bias(dy))]
    }

    /// The gradient of the sums, and the hidden units again.
    fn hidden_gradient(&self, sums: &[f32], w2: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Size { rows, inputs, outputs } = self.second;
        let (dy, w2) = (Matrix::new(dy, rows, outputs), Matrix::new(w2, outputs, inputs));
        let [dsums, hidden] = product_and_copy(dy, w2, |[dsums, hidden], row, columns| {
            self.activation.backward(&sums[row * inputs..][columns.clone()], hidden, dsums);
        });
        (dsums, hidden)
    }
}
