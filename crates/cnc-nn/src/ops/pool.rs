//! Maximum over windows of an image.

use candle_core::{D, Tensor};

use super::OpError;

const OP: &str = "max_pool2d";

/// Largest value of each `kernel` x `kernel` window of `x`, shape `(batch, channels, height, width)`.
///
/// Windows start every `stride` pixels; `padding` pixels on each side count as minus infinity, so they never win. What is
/// left at the lower and right edge and does not fill a window is dropped. The gradient goes to the largest value of the
/// window, to the first one in reading order when several are equal.
///
/// # Errors
/// Wrong number of dimensions, a kernel or stride of 0, padding of more than half of the kernel, or a kernel that does
/// not fit into the padded image.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor, OpError> {
    Window::new(x, kernel, stride, padding)?;
    composed(x, kernel, stride, padding)
}

/// [`max_pool2d`] in plain Candle ops: one shifted, strided view a position in the window, the first largest wins.
///
/// # Errors
/// As [`max_pool2d`].
pub fn composed(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor, OpError> {
    let window = Window::new(x, kernel, stride, padding)?;
    let x = pad_with(&pad_with(x, 2, padding)?, 3, padding)?;
    let every = |start: usize, count: usize| {
        let indices: Vec<u32> = (0..count).map(|i| (start + i * stride) as u32).collect();
        Tensor::from_vec(indices, count, x.device())
    };
    let mut best: Option<Tensor> = None;
    for row in 0..kernel {
        let rows = x.index_select(&every(row, window.out_height)?, 2)?;
        for column in 0..kernel {
            let candidate = rows.index_select(&every(column, window.out_width)?, D::Minus1)?;
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
    best.ok_or(OpError::Zero { op: OP, option: "kernel" })
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

/// The checked sizes of one pooling.
#[derive(Debug, Clone, Copy)]
struct Window {
    out_height: usize,
    out_width: usize,
}

impl Window {
    fn new(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Self, OpError> {
        let &[_, _, height, width] = x.dims() else {
            return Err(OpError::Rank {
                op: OP,
                argument: "x",
                expected: "(batch, channels, height, width)",
                shape: x.dims().to_vec(),
            });
        };
        for (option, value) in [("kernel", kernel), ("stride", stride)] {
            if value == 0 {
                return Err(OpError::Zero { op: OP, option });
            }
        }
        if padding > kernel / 2 {
            return Err(OpError::Padding { op: OP, padding, kernel });
        }
        let (height, width) = (height + 2 * padding, width + 2 * padding);
        if kernel > height || kernel > width {
            return Err(OpError::KernelTooLarge { op: OP, kernel_height: kernel, kernel_width: kernel, height, width });
        }
        Ok(Self { out_height: (height - kernel) / stride + 1, out_width: (width - kernel) / stride + 1 })
    }
}
