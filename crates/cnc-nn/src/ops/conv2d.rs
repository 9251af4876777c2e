//! Two-dimensional convolution, in plain Candle ops: networks here convolve within ops that do more at once.

use candle_core::Tensor;

use super::check::check_bias;
use crate::autograd::recorded;
use crate::op_error::OpError;

const OP: &str = "conv2d";

/// Cross-correlation of `x`, shape `(batch, in, height, width)`, with `weight`, shape `(out, in, kernel height, kernel
/// width)`, plus `bias`, shape `(out)`: what every framework calls a convolution.
///
/// `padding` pixels of zeros on each side; the kernel has a `stride` of that many pixels. The result has the shape
/// `(batch, out, (height + 2 padding - kernel height) / stride + 1, ...)`.
///
/// # Errors
/// Wrong number of dimensions, channels that do not fit together, a stride or kernel of 0, or a kernel that does not fit
/// into the padded image.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor, OpError> {
    let geometry = Geometry::new(OP, x, weight, bias, stride, padding)?;
    // Candle's backward pass fails when the last column or row that a kernel reaches is not the last one there is.
    let height = (geometry.out_height - 1) * stride + geometry.kernel_height;
    let width = (geometry.out_width - 1) * stride + geometry.kernel_width;
    let y = if (height, width) == (geometry.height + 2 * padding, geometry.width + 2 * padding) {
        x.conv2d(weight, padding, stride, 1, 1)?
    } else {
        let padded = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
        padded.narrow(2, 0, height)?.narrow(3, 0, width)?.conv2d(weight, 0, stride, 1, 1)?
    };
    match bias {
        Some(bias) => Ok(recorded(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)),
        None => Ok(recorded(y)),
    }
}

/// Height and width of the result of a convolution.
///
/// # Errors
/// A stride or kernel of 0, or a kernel that does not fit into the padded image.
pub(super) fn out_size(
    op: &'static str,
    [height, width]: [usize; 2],
    [kernel_height, kernel_width]: [usize; 2],
    stride: usize,
    padding: usize,
) -> Result<[usize; 2], OpError> {
    for (option, value) in [("stride", stride), ("kernel", kernel_height), ("kernel", kernel_width)] {
        if value == 0 {
            return Err(OpError::Zero { op, option });
        }
    }
    let (height, width) = (height + 2 * padding, width + 2 * padding);
    if kernel_height > height || kernel_width > width {
        return Err(OpError::KernelTooLarge { op, kernel_height, kernel_width, height, width });
    }
    Ok([(height - kernel_height) / stride + 1, (width - kernel_width) / stride + 1])
}

/// The checked sizes of one convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub batch: usize,
    pub inputs: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub kernel_height: usize,
    pub kernel_width: usize,
    pub out_height: usize,
    pub out_width: usize,
}

impl Geometry {
    pub fn new(
        op: &'static str,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: usize,
        padding: usize,
    ) -> Result<Self, OpError> {
        let &[batch, inputs, height, width] = x.dims() else {
            let expected = "(batch, channels, height, width)";
            return Err(OpError::Rank { op, argument: "x", expected, shape: x.dims().to_vec() });
        };
        let &[outputs, weight_inputs, kernel_height, kernel_width] = weight.dims() else {
            let expected = "(out, in, kernel height, kernel width)";
            return Err(OpError::Rank { op, argument: "weight", expected, shape: weight.dims().to_vec() });
        };
        if inputs != weight_inputs {
            return Err(OpError::Channels { op, input: inputs, weight: weight_inputs });
        }
        check_bias(op, bias, outputs)?;
        let [out_height, out_width] = out_size(op, [height, width], [kernel_height, kernel_width], stride, padding)?;
        Ok(Self { batch, inputs, height, width, outputs, kernel_height, kernel_width, out_height, out_width })
    }
}
