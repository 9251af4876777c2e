//! Convolution, ReLU and max pooling in one: the block that LeNet is made of.

use candle_core::Tensor;

use super::{OpError, conv2d, pool, relu};

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
    check(x, weight, bias, pool)?;
    composed(x, weight, bias, pool)
}

/// [`conv_relu_pool`] from the composed forms of its three parts.
///
/// # Errors
/// As [`conv_relu_pool`].
pub fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<Tensor, OpError> {
    let y = relu::composed(&conv2d::composed(x, weight, bias, 1, 0)?)?;
    pool::composed(&y, pool, pool, 0)
}

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, pool: usize) -> Result<conv2d::Geometry, OpError> {
    let geometry = conv2d::Geometry::new(OP, x, weight, bias, 1, 0)?;
    if pool == 0 {
        return Err(OpError::Zero { op: OP, option: "pool" });
    }
    let (height, width) = (geometry.out_height, geometry.out_width);
    if pool > height || pool > width {
        return Err(OpError::KernelTooLarge { op: OP, kernel_height: pool, kernel_width: pool, height, width });
    }
    Ok(geometry)
}
