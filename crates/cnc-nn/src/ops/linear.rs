//! Linear map `y = x wᵀ + b`.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply3;
use super::blocks::for_each_chunk;
use super::gemm::{Destination, Matrix, MatrixMut, Shared, multiply_shared, product};
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "linear";
/// Columns of a bias gradient that one thread takes at a time.
const BIAS_COLUMNS: usize = 128;

/// `y = x wᵀ + b` for `x` of shape `(..., in)`, `weight` of shape `(out, in)` and `bias` of shape `(out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    check(OP, x, weight, bias)?;
    if !on_cpu_f32(&[x, weight, bias.unwrap_or(weight)]) {
        return composed(x, weight, bias);
    }
    let bias = super::bias_or_zeros(bias, weight.dim(0)?)?;
    Ok(apply3(&x.contiguous()?, &weight.contiguous()?, &bias, Linear)?)
}

/// [`linear`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    let y = x.broadcast_matmul(&weight.t()?)?;
    match bias {
        Some(bias) => Ok(y.broadcast_add(bias)?),
        None => Ok(y),
    }
}

/// Whether the shapes fit together.
pub(super) fn check(op: &'static str, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<(), OpError> {
    let &[outputs, features] = weight.dims() else {
        return Err(OpError::Rank { op, argument: "weight", expected: "(out, in)", shape: weight.dims().to_vec() });
    };
    let Some(&input) = x.dims().last().filter(|_| x.rank() >= 2) else {
        return Err(OpError::Rank { op, argument: "x", expected: "(..., in)", shape: x.dims().to_vec() });
    };
    if input != features {
        return Err(OpError::Channels { op, input, weight: features });
    }
    super::check_bias(op, bias, outputs)
}

/// Arguments: `x`, `weight`, `bias`.
struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let (x, weight, bias) = (slice(x, x_layout)?, slice(weight, weight_layout)?, slice(bias, bias_layout)?);
        let mut shape = x_layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let rows = shape.iter().rev().skip(1).product();
        let y = Size { rows, inputs, outputs }.forward(x, weight, bias);
        Ok((CpuStorage::F32(y), Shape::from(shape)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        let gradient = gradient.contiguous()?;
        with_values([x, weight, &gradient], |[x_values, weight_values, dy]| {
            let size = Size { rows: dy.len() / outputs.max(1), inputs, outputs };
            let device = x.device();
            let dx = x.track_op().then(|| size.input(weight_values, dy, &[]));
            let dw = weight.track_op().then(|| size.weight(x_values, dy));
            let db = bias.track_op().then(|| size.bias(dy));
            Ok((
                dx.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?,
                dw.map(|dw| Tensor::from_vec(dw, weight.shape(), device)).transpose()?,
                db.map(|db| Tensor::from_vec(db, bias.shape(), device)).transpose()?,
            ))
        })
    }
}

/// The products of both passes; `dy` is the gradient of the result, `(rows, outputs)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
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
pub(super) fn add(row: &mut [f32], values: &[f32]) {
    for (to, value) in row.iter_mut().zip(values) {
        *to += value;
    }
}
