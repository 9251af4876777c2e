//! Convolution, ReLU and max pooling in one: the block that LeNet is made of.
//!
//! Together they save what each alone would write to memory and read again, and the backward pass need only look at the
//! one value in each window that has a gradient.

use candle_core::Tensor;

use super::check::bias_or_zeros;
use super::conv2d::{self, Geometry};
use super::{pool, relu};
use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::conv_relu_pool::Size;
use crate::op_error::OpError;

const OP: &str = "conv_relu_pool";

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
    let size = size(x, weight, bias, pool)?;
    if !size.suits() || !on_cpu_f32(&[x, weight, bias.unwrap_or(weight)]) {
        return composed(x, weight, bias, pool);
    }
    let bias = bias_or_zeros(bias, size.outputs)?;
    Ok(apply(
        OP,
        [x, weight, &bias],
        (size.batch, size.outputs, size.pooled_height, size.pooled_width),
        |arguments| size.forward(arguments),
        move |winners, pass| size.backward(winners, pass.arguments, pass.dy, pass.wanted),
    )?)
}

/// [`conv_relu_pool`](crate::ops::conv_relu_pool) from the composed forms of its three parts.
///
/// # Errors
/// As [`conv_relu_pool`](crate::ops::conv_relu_pool).
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Tensor, OpError> {
    let y = relu::composed(&conv2d::conv2d(x, weight, bias, 1, 0)?)?;
    pool::max_pool2d(&y, pool, pool, 0)
}

/// The sizes, if all arguments fit together.
fn size(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Size, OpError> {
    let conv = Geometry::new(OP, x, weight, bias, 1, 0)?;
    if pool == 0 {
        return Err(OpError::Zero { op: OP, option: "pool" });
    }
    let Geometry { batch, inputs, height, width, outputs, kernel_height, kernel_width, out_height, out_width } = conv;
    if pool > out_height || pool > out_width {
        let (kernel_height, kernel_width) = (pool, pool);
        return Err(OpError::KernelTooLarge {
            op: OP,
            kernel_height,
            kernel_width,
            height: out_height,
            width: out_width,
        });
    }
    let (pooled_height, pooled_width) = (out_height / pool, out_width / pool);
    Ok(Size { batch, inputs, height, width, outputs, kernel_height, kernel_width, pool, pooled_height, pooled_width })
}
