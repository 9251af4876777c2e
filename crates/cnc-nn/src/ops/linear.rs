//! Linear map `y = x wᵀ + b`.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply3;
use super::blocks::for_each_chunk;
use super::gemm::{Destination, Matrix, MatrixMut, multiply};
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "linear";
/// Blocks of rows that threads share: few, as each block packs the other factor anew.
const BLOCKS: usize = 8;
/// Rows of a product at least in a block.
const FEWEST_ROWS: usize = 16;

/// `y = x wᵀ + b` for `x` of shape `(..., in)`, `weight` of shape `(out, in)` and `bias` of shape `(out)`.
///
/// # Errors
/// Wrong number of dimensions, or sizes that do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, OpError> {
    check(x, weight, bias)?;
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

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<(), OpError> {
    let &[outputs, features] = weight.dims() else {
        return Err(OpError::Rank { op: OP, argument: "weight", expected: "(out, in)", shape: weight.dims().to_vec() });
    };
    let Some(&input) = x.dims().last().filter(|_| x.rank() >= 2) else {
        return Err(OpError::Rank { op: OP, argument: "x", expected: "(..., in)", shape: x.dims().to_vec() });
    };
    if input != features {
        return Err(OpError::Channels { op: OP, input, weight: features });
    }
    super::check_bias(OP, bias, outputs)
}

/// Rows in a block of a product with `rows` rows.
fn rows_per_block(rows: usize) -> usize {
    rows.div_ceil(BLOCKS).max(FEWEST_ROWS)
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
        let mut y = vec![0.0; shape.iter().product()];
        let rows = y.len() / outputs.max(1);
        let block = rows_per_block(rows);
        for_each_chunk(&mut y, block * outputs, rows * outputs * inputs, |i, y| {
            y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
            let rows = y.len() / outputs;
            let x = Matrix::new(&x[i * block * inputs..], rows, inputs);
            let weight = Matrix::new(weight, outputs, inputs).transposed();
            multiply(MatrixMut::new(y, rows, outputs), x, weight, Destination::Add);
        });
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
            let rows = dy.len() / outputs.max(1);
            let size = Size { rows, inputs, outputs };
            let device = x.device();
            let (dx, dw) = if rows * outputs * inputs < super::blocks::SMALL {
                (
                    x.track_op().then(|| size.input(weight_values, dy)),
                    weight.track_op().then(|| size.weight(x_values, dy)),
                )
            } else {
                rayon::join(
                    || x.track_op().then(|| size.input(weight_values, dy)),
                    || weight.track_op().then(|| size.weight(x_values, dy)),
                )
            };
            let db = bias.track_op().then(|| size.bias(dy));
            Ok((
                dx.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?,
                dw.map(|dw| Tensor::from_vec(dw, weight.shape(), device)).transpose()?,
                db.map(|db| Tensor::from_vec(db, bias.shape(), device)).transpose()?,
            ))
        })
    }
}

/// The three products of the backward pass; `dy` is the gradient of the result, `(rows, outputs)`.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Size {
    fn operations(self) -> usize {
        self.rows * self.inputs * self.outputs
    }

    /// `dx = dy w`.
    fn input(self, weight: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dx = vec![0.0; self.rows * self.inputs];
        let block = rows_per_block(self.rows);
        for_each_chunk(&mut dx, block * self.inputs, self.operations(), |i, dx| {
            let rows = dx.len() / self.inputs;
            let dy = Matrix::new(&dy[i * block * self.outputs..], rows, self.outputs);
            let weight = Matrix::new(weight, self.outputs, self.inputs);
            multiply(MatrixMut::new(dx, rows, self.inputs), dy, weight, Destination::Overwrite);
        });
        dx
    }

    /// `dw = dyᵀ x`.
    fn weight(self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dw = vec![0.0; self.outputs * self.inputs];
        let block = rows_per_block(self.outputs);
        for_each_chunk(&mut dw, block * self.inputs, self.operations(), |i, dw| {
            let outputs = dw.len() / self.inputs;
            let dy = dy.get(i * block..).unwrap_or_default();
            let dy = Matrix::strided(dy, self.rows, outputs, self.outputs).transposed();
            let x = Matrix::new(x, self.rows, self.inputs);
            multiply(MatrixMut::new(dw, outputs, self.inputs), dy, x, Destination::Overwrite);
        });
        dw
    }

    /// `db` = sum of the rows of `dy`.
    fn bias(self, dy: &[f32]) -> Vec<f32> {
        let mut db = vec![0.0; self.outputs];
        for row in dy.chunks_exact(self.outputs.max(1)) {
            for (db, dy) in db.iter_mut().zip(row) {
                *db += dy;
            }
        }
        db
    }
}
