//! Two-dimensional convolution.

use candle_core::Tensor;

use super::OpError;

const OP: &str = "conv2d";

/// Cross-correlation of `x`, shape `(batch, in, height, width)`, with `weight`, shape `(out, in, kernel height, kernel
/// width)`, plus `bias`, shape `(out)`: what every framework calls a convolution.
///
/// `padding` pixels of zeros on each side; the kernel moves by `stride` pixels. The result has the shape
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
    Geometry::new(OP, x, weight, bias, stride, padding)?;
    composed(x, weight, bias, stride, padding)
}

/// [`conv2d`] in plain Candle ops.
///
/// # Errors
/// Only those of Candle.
pub fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor, OpError> {
    let y = x.conv2d(weight, padding, stride, 1, 1)?;
    match bias {
        Some(bias) => Ok(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?),
        None => Ok(y),
    }
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
    pub stride: usize,
    pub padding: usize,
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
        super::check_bias(op, bias, outputs)?;
        for (option, value) in [("stride", stride), ("kernel", kernel_height), ("kernel", kernel_width)] {
            if value == 0 {
                return Err(OpError::Zero { op, option });
            }
        }
        let (padded_height, padded_width) = (height + 2 * padding, width + 2 * padding);
        if kernel_height > padded_height || kernel_width > padded_width {
            return Err(OpError::KernelTooLarge {
                op,
                kernel_height,
                kernel_width,
                height: padded_height,
                width: padded_width,
            });
        }
        Ok(Self {
            batch,
            inputs,
            height,
            width,
            outputs,
            kernel_height,
            kernel_width,
            stride,
            padding,
            out_height: (padded_height - kernel_height) / stride + 1,
            out_width: (padded_width - kernel_width) / stride + 1,
        })
    }
}
