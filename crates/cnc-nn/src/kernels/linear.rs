//! Linear map `y = x wᵀ + b`.

use super::gemm::{Destination, Matrix, MatrixMut, Shared, multiply_shared, product};
use super::parallel::for_each_chunk;

/// Columns of a bias gradient that one thread takes at a time.
const BIAS_COLUMNS: usize = 128;

/// The products of both passes; `dy` is the gradient of the result, `(rows, outputs)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl Size {
    /// `y = x wᵀ + b`.
    pub fn forward(self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let x = Matrix::new(x, self.rows, self.inputs);
        let weight = Matrix::new(weight, self.outputs, self.inputs).transposed();
        product(x, weight, |y, _, columns| add(y, &bias[columns.clone()]))
    }

    /// `dx = dy w + others`; no `others` are zeros.
    pub fn input(self, weight: &[f32], dy: &[f32], others: &[f32]) -> Vec<f32> {
        let dy = Matrix::new(dy, self.rows, self.outputs);
        product(dy, Matrix::new(weight, self.outputs, self.inputs), |dx, row, columns| {
            if !others.is_empty() {
                add(dx, &others[row * self.inputs..][columns.clone()]);
            }
        })
    }

    /// `dx += dy w`.
    pub fn add_input(self, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
        let dy = Matrix::new(dy, self.rows, self.outputs);
        let weight = Matrix::new(weight, self.outputs, self.inputs);
        multiply_shared(MatrixMut::new(dx, self.rows, self.inputs), dy, weight, Destination::Add);
    }

    /// `dw = dyᵀ x`.
    pub fn weight(self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let [dw] = self.weights(x, [Some(dy)]);
        dw.unwrap_or_default()
    }

    /// [`weight`](Self::weight) of several maps of the same `x`.
    pub fn weights<const N: usize>(self, x: &[f32], dys: [Option<&[f32]>; N]) -> [Option<Vec<f32>>; N] {
        if dys.iter().all(Option::is_none) {
            return dys.map(|_| None);
        }
        let x = Shared::new(self.outputs, Matrix::new(x, self.rows, self.inputs));
        dys.map(|dy| dy.map(|dy| x.product(Matrix::new(dy, self.rows, self.outputs).transposed())))
    }

    /// `db` = sum of the rows of `dy`, from the first to the last.
    pub fn bias(self, dy: &[f32]) -> Vec<f32> {
        let mut db = vec![0.0; self.outputs];
        for_each_chunk(&mut db, BIAS_COLUMNS, dy.len(), |i, db| {
            for row in dy.chunks_exact(self.outputs) {
                for (db, dy) in db.iter_mut().zip(&row[i * BIAS_COLUMNS..]) {
                    *db += dy;
                }
            }
        });
        db
    }
}

/// Adds `values` to a row.
pub(crate) fn add(row: &mut [f32], values: &[f32]) {
    for (to, value) in row.iter_mut().zip(values) {
        *to += value;
    }
}
