//! Maximum over windows of an image.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor, bail};

use super::OpError;
use super::autograd::apply1;
use super::blocks::for_each_chunk;
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "max_pool2d";
const AVERAGE: &str = "global_average_pool";
/// Largest kernel of our own code: a position in the window is kept in 16 bits.
const LARGEST_KERNEL: usize = 255;

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
    let window = Window::new(x, kernel, stride, padding)?;
    if kernel > LARGEST_KERNEL || !on_cpu_f32(&[x]) {
        return composed(x, kernel, stride, padding);
    }
    Ok(apply1(&x.contiguous()?, MaxPool { window, winners: OnceLock::new() })?)
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

/// Mean of each channel over all pixels: `x` of shape `(batch, height, width, channels)` to `(batch, channels)`.
///
/// # Errors
/// Wrong number of dimensions, and images without pixels.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor, OpError> {
    let &[batch, height, width, channels] = x.dims() else {
        let expected = "(batch, height, width, channels)";
        return Err(OpError::Rank { op: AVERAGE, argument: "x", expected, shape: x.dims().to_vec() });
    };
    for (option, size) in [("height", height), ("width", width)] {
        if size == 0 {
            return Err(OpError::Zero { op: AVERAGE, option });
        }
    }
    // A product with the share of each pixel: Candle's own mean over these dimensions reads the values one by one.
    let pixels = height * width;
    let share = Tensor::full(1.0 / pixels as f32, (batch, 1, pixels), x.device())?.to_dtype(x.dtype())?;
    Ok(share.matmul(&x.reshape((batch, pixels, channels))?)?.squeeze(1)?)
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
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    out_height: usize,
    out_width: usize,
}

impl Window {
    fn new(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Self, OpError> {
        let &[batch, channels, height, width] = x.dims() else {
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
        let (padded_height, padded_width) = (height + 2 * padding, width + 2 * padding);
        if kernel > padded_height || kernel > padded_width {
            return Err(OpError::KernelTooLarge {
                op: OP,
                kernel_height: kernel,
                kernel_width: kernel,
                height: padded_height,
                width: padded_width,
            });
        }
        Ok(Self {
            batch,
            channels,
            height,
            width,
            kernel,
            stride,
            padding,
            out_height: (padded_height - kernel) / stride + 1,
            out_width: (padded_width - kernel) / stride + 1,
        })
    }

    fn planes(self) -> usize {
        self.batch * self.channels
    }

    /// Multiplied out, what one plane costs.
    fn operations(self) -> usize {
        self.out_height * self.out_width * self.kernel * self.kernel
    }

    /// The part of a window along one axis that lies in the image: the window starts at `at * stride - padding`.
    fn inside(self, at: usize, size: usize) -> std::ops::Range<usize> {
        let start = at * self.stride;
        self.padding.saturating_sub(start)..self.kernel.min(size + self.padding - start)
    }

    /// Largest value and its position in the window, for each window of one plane.
    fn forward(self, x: &[f32], y: &mut [f32], winners: &mut [u16]) {
        let mut outputs = y.iter_mut().zip(winners);
        for row in 0..self.out_height {
            let rows = self.inside(row, self.height);
            for column in 0..self.out_width {
                let columns = self.inside(column, self.width);
                let left = column * self.stride + columns.start - self.padding;
                let (mut best, mut winner) = (f32::NEG_INFINITY, rows.start * self.kernel + columns.start);
                for ky in rows.clone() {
                    let start = (row * self.stride + ky - self.padding) * self.width + left;
                    for (i, &value) in x[start..start + columns.len()].iter().enumerate() {
                        // A NaN is larger than everything, as in PyTorch.
                        if value > best || value.is_nan() {
                            (best, winner) = (value, ky * self.kernel + columns.start + i);
                        }
                    }
                }
                if let Some((y, position)) = outputs.next() {
                    (*y, *position) = (best, winner as u16);
                }
            }
        }
    }

    /// Adds the gradient of each window of one plane to the value that won it.
    fn backward(self, gradient: &[f32], winners: &[u16], dx: &mut [f32]) {
        for (at, (&gradient, &winner)) in gradient.iter().zip(winners).enumerate() {
            let (row, column) = (at / self.out_width, at % self.out_width);
            let (ky, kx) = (usize::from(winner) / self.kernel, usize::from(winner) % self.kernel);
            let (y, x) = (row * self.stride + ky - self.padding, column * self.stride + kx - self.padding);
            dx[y * self.width + x] += gradient;
        }
    }
}

struct MaxPool {
    window: Window,
    /// Position of the largest value in each window, for the backward pass.
    winners: OnceLock<Vec<u16>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, window) = (slice(storage, layout)?, self.window);
        let (plane, out_plane) = (window.height * window.width, window.out_height * window.out_width);
        let mut y = vec![0.0; window.planes() * out_plane];
        let mut winners = vec![0; y.len()];
        let mut planes: Vec<_> = y.chunks_mut(out_plane).zip(winners.chunks_mut(out_plane)).collect();
        for_each_chunk(&mut planes, 1, window.planes() * window.operations(), |i, planes| {
            for (y, winners) in planes {
                window.forward(&x[i * plane..][..plane], y, winners);
            }
        });
        drop(planes);
        let shape = Shape::from((window.batch, window.channels, window.out_height, window.out_width));
        // The op object serves one forward pass: nobody has set it before.
        self.winners.set(winners).ok();
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(winners) = self.winners.get() else { bail!("{OP}: backward without a forward pass") };
        let (gradient, window) = (gradient.contiguous()?, self.window);
        let (plane, out_plane) = (window.height * window.width, window.out_height * window.out_width);
        let dx = with_values([&gradient], |[gradient]| {
            let mut dx = vec![0.0; window.planes() * plane];
            for_each_chunk(&mut dx, plane, gradient.len(), |i, dx| {
                let outputs = i * out_plane..(i + 1) * out_plane;
                window.backward(&gradient[outputs.clone()], &winners[outputs], dx);
            });
            Ok(dx)
        })?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
