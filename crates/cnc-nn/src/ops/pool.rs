//! Pooling: the maximum over windows of an image, and the mean over all of it.

use candle_core::{D, Tensor};

use super::conv2d;
use crate::autograd::recorded;
use crate::op_error::OpError;

const OP: &str = "max_pool2d";
const AVERAGE: &str = "global_average_pool";

/// Largest value of each `kernel` x `kernel` window of `x`, shape `(batch, channels, height, width)`.
///
/// Windows start every `stride` pixels; `padding` pixels on each side count as minus infinity, so they never win. What is
/// left at the lower and right edge and does not fill a window is dropped. The gradient goes to the largest value of the
/// window, to the first one in reading order when several are equal. In plain Candle ops: one shifted, strided view a position
/// in the window, the first largest wins.
///
/// # Errors
/// Wrong number of dimensions, a kernel or stride of 0, padding of more than half of the kernel, or a kernel that does
/// not fit into the padded image.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor, OpError> {
    let [out_height, out_width] = out_size(x, kernel, stride, padding)?;
    let x = pad_with(&pad_with(x, 2, padding)?, 3, padding)?.contiguous()?;
    let every = |start: usize, count: usize| {
        let indices: Vec<u32> = (0..count).map(|i| (start + i * stride) as u32).collect();
        Tensor::from_vec(indices, count, x.device())
    };
    let mut best: Option<Tensor> = None;
    for row in 0..kernel {
        let rows = x.index_select(&every(row, out_height)?, 2)?;
        for column in 0..kernel {
            let candidate = rows.index_select(&every(column, out_width)?, D::Minus1)?;
            best = Some(match best {
                None => candidate,
                Some(best) => {
                    // A NaN is larger than everything, as in PyTorch.
                    let wins = (candidate.gt(&best)? + candidate.ne(&candidate)?)?;
                    wins.where_cond(&candidate, &best)?
                }
            });
        }
    }
    best.map(recorded).ok_or(OpError::Zero { op: OP, option: "kernel" })
}

/// Mean of each channel over all pixels: `x` of shape `(batch, height, width, channels)` to `(batch, channels)`.
///
/// The channels come last, as in the feature maps of residual blocks, not second as in images: `channels` says how many there
/// are, so that the two are not mixed up.
///
/// # Errors
/// Wrong number of dimensions, [`OpError::ChannelsLast`] for another last dimension than `channels`, and maps without
/// pixels.
pub fn global_average_pool(x: &Tensor, channels: usize) -> Result<Tensor, OpError> {
    let &[batch, height, width, last] = x.dims() else {
        let expected = "(batch, height, width, channels)";
        return Err(OpError::Rank { op: AVERAGE, argument: "x", expected, shape: x.dims().to_vec() });
    };
    if last != channels {
        return Err(OpError::ChannelsLast { op: AVERAGE, channels, shape: x.dims().to_vec() });
    }
    for (option, size) in [("height", height), ("width", width)] {
        if size == 0 {
            return Err(OpError::Zero { op: AVERAGE, option });
        }
    }
    // A product with the share of each pixel: Candle's own mean over these dimensions reads the values one by one.
    let pixels = height * width;
    let share = Tensor::full(1.0 / pixels as f32, (batch, 1, pixels), x.device())?.to_dtype(x.dtype())?;
    Ok(recorded(share.matmul(&x.reshape((batch, pixels, channels))?)?.squeeze(1)?))
}

/// `padding` slices of minus infinity on both sides of dimension `dim`.
fn pad_with(x: &Tensor, dim: usize, padding: usize) -> candle_core::Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    shape[dim] = padding;
    let edge = Tensor::full(f32::NEG_INFINITY, shape, x.device())?.to_dtype(x.dtype())?;
    Tensor::cat(&[&edge, x, &edge], dim)
}

/// Height and width of the result, if the arguments fit together.
fn out_size(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<[usize; 2], OpError> {
    let &[_, _, height, width] = x.dims() else {
        let expected = "(batch, channels, height, width)";
        return Err(OpError::Rank { op: OP, argument: "x", expected, shape: x.dims().to_vec() });
    };
    for (option, value) in [("kernel", kernel), ("stride", stride)] {
        if value == 0 {
            return Err(OpError::Zero { op: OP, option });
        }
    }
    if padding > kernel / 2 {
        return Err(OpError::Padding { op: OP, padding, kernel });
    }
    conv2d::out_size(OP, [height, width], [kernel, kernel], stride, padding)
}
