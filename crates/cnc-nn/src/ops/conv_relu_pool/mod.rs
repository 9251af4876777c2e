//! Convolution, ReLU and max pooling in one: the block that LeNet is made of.
//!
//! Together they save what each alone would write to memory and read again, and the backward pass need only look at the
//! one value in each window that has a gradient.

mod backward;
mod forward;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, bail};

use self::backward::{Backward, pad_rows, padded_len, unpad_rows};
use self::forward::{Forward, Weights};
use super::autograd::apply3;
use super::blocks::samples_per_block;
use super::conv2d::Geometry;
use super::gradients::{Blocks, Partial, Wanted};
use super::simd::{LANES, dispatch};
use super::storage::{on_cpu_f32, slice, with_values};
use super::{OpError, conv2d, pool, relu};
use rayon::prelude::*;

const OP: &str = "conv_relu_pool";
/// Marks a window without gradient, as its largest value is not positive.
const DEAD: u8 = u8::MAX;
/// Largest pool of our own code: places in a window are below [`DEAD`].
const LARGEST_POOL: usize = 15;

/// `max_pool2d(relu(conv2d(x, weight, bias)))`: stride 1, no padding, then windows of `pool` x `pool` side by side; rows
/// and columns that do not fill a window are dropped.
///
/// Shapes: `x` `(batch, in, height, width)`, `weight` `(out, in, kernel height, kernel width)`, `bias` `(out)`; the result
/// is `(batch, out, (height - kernel height + 1) / pool, (width - kernel width + 1) / pool)`.
///
/// # Errors
/// Wrong number of dimensions, channels that do not fit together, a kernel or pool of 0, or a kernel or window that does
/// not fit into the image.
pub fn conv_relu_pool(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Tensor, OpError> {
    let size = Size::new(x, weight, bias, pool)?;
    if !on_cpu_f32(&[x, weight, bias.unwrap_or(weight)]) {
        return composed(x, weight, bias, pool);
    }
    if pool > LARGEST_POOL || size.conv.kernel_width > LANES || size.input_len() == 0 {
        return pool::max_pool2d(&relu::relu(&conv2d::conv2d(x, weight, bias, 1, 0)?)?, pool, pool, 0);
    }
    let bias = super::bias_or_zeros(bias, size.conv.outputs)?;
    let op = ConvReluPool { size, winners: OnceLock::new() };
    Ok(apply3(&x.contiguous()?, &weight.contiguous()?, &bias, op)?)
}

/// [`conv_relu_pool`] from the composed forms of its three parts.
///
/// # Errors
/// As [`conv_relu_pool`].
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Tensor, OpError> {
    let y = relu::composed(&conv2d::composed(x, weight, bias, 1, 0)?)?;
    pool::composed(&y, pool, pool, 0)
}

/// The checked sizes of one block.
#[derive(Debug, Clone, Copy)]
struct Size {
    conv: Geometry,
    pool: usize,
    pooled_height: usize,
    pooled_width: usize,
}

impl Size {
    fn new(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Self, OpError> {
        let conv = Geometry::new(OP, x, weight, bias, 1, 0)?;
        if pool == 0 {
            return Err(OpError::Zero { op: OP, option: "pool" });
        }
        let (height, width) = (conv.out_height, conv.out_width);
        if pool > height || pool > width {
            return Err(OpError::KernelTooLarge { op: OP, kernel_height: pool, kernel_width: pool, height, width });
        }
        Ok(Self { conv, pool, pooled_height: height / pool, pooled_width: width / pool })
    }

    /// Columns of the convolution that fill windows.
    fn used_width(self) -> usize {
        self.pooled_width * self.pool
    }

    /// Values of one sample of the input.
    fn input_len(self) -> usize {
        self.conv.inputs * self.conv.height * self.conv.width
    }

    /// Values of one sample of the result.
    fn output_len(self) -> usize {
        self.conv.outputs * self.pooled_height * self.pooled_width
    }

    /// Weights of one output channel.
    fn depth(self) -> usize {
        self.kernel_rows() * self.conv.kernel_width
    }

    /// Rows of the kernel of one output channel, over all input channels.
    fn kernel_rows(self) -> usize {
        self.conv.inputs * self.conv.kernel_height
    }

    /// Where each of the kernel's rows lies in the image when the kernel is at its upper left corner.
    fn kernel_row_starts(self) -> Vec<usize> {
        let conv = self.conv;
        let rows = |plane: usize| (0..conv.kernel_height).map(move |ky| (plane * conv.height + ky) * conv.width);
        (0..conv.inputs).flat_map(rows).collect()
    }
}

/// Arguments: `x`, `weight`, `bias`.
struct ConvReluPool {
    size: Size,
    /// Place of the largest value in each window, for the backward pass.
    winners: OnceLock<Vec<u8>>,
}

impl CustomOp3 for ConvReluPool {
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
        let size = self.size;
        let (x, bias) = (slice(x, x_layout)?, slice(bias, bias_layout)?);
        let weights = Weights::new(size, slice(weight, weight_layout)?);
        let mut y = vec![0.0; size.conv.batch * size.output_len()];
        let mut winners = vec![0; y.len()];
        let samples = samples_per_block(size.conv.batch, 0);
        let (x_len, y_len) = (samples * size.input_len(), (samples * size.output_len()).max(1));
        let blocks = y.par_chunks_mut(y_len).zip(winners.par_chunks_mut(y_len)).zip(x.par_chunks(x_len));
        blocks.for_each(|((y, winners), x)| dispatch(Forward { size, weights: &weights, bias, x, y, winners }));
        // The op object serves one forward pass: nobody has set it before.
        self.winners.set(winners).ok();
        let shape = (size.conv.batch, size.conv.outputs, size.pooled_height, size.pooled_width);
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
        let Some(winners) = self.winners.get() else { bail!("{OP}: backward without a forward pass") };
        let (size, wanted) = (self.size, Wanted::of(x, weight, bias));
        let gradient = gradient.contiguous()?;
        let gradients = with_values([x, weight, &gradient], |[x, weight, dy]| {
            let weight = if wanted.input { pad_rows(size, weight) } else { Vec::new() };
            let weight_len = if wanted.weight { padded_len(size) } else { 0 };
            let bias_len = if wanted.bias { size.conv.outputs } else { 0 };
            let blocks = Blocks::new(size.conv.batch, size.input_len(), weight_len);
            let mut gradients = blocks.add_up(wanted, |samples, dx| {
                let mut partial = Partial { weight: vec![0.0; weight_len], bias: vec![0.0; bias_len] };
                let inputs = samples.start * size.input_len()..samples.end * size.input_len();
                let outputs = samples.start * size.output_len()..samples.end * size.output_len();
                dispatch(Backward {
                    size,
                    wanted,
                    weight: &weight,
                    x: &x[inputs],
                    dy: &dy[outputs.clone()],
                    winners: &winners[outputs],
                    dx,
                    partial: &mut partial,
                });
                partial
            });
            gradients.weight = gradients.weight.map(|padded| unpad_rows(size, &padded));
            Ok(gradients)
        })?;
        gradients.into_tensors(x, weight, bias)
    }
}
