//! Pooling of images.

use candle_core::Tensor;

use super::mode::named;
use crate::error::Result;
use crate::ops;

/// The largest value of each square window: `(batch, channels, height, width)` to `(batch, channels, height', width')`,
/// `height' = (height + 2 padding - kernel) / stride + 1`. What lies outside the image never wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Side of the window.
    pub kernel: usize,
    /// Step between two windows.
    pub stride: usize,
    /// Rows and columns around the image that windows may reach into; half the kernel at most.
    pub padding: usize,
}

impl MaxPool2d {
    /// `(batch, channels, height, width)` to `(batch, channels, height', width')`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for another rank, an image smaller than the window, a kernel or stride of
    /// 0, and for padding of more than half the kernel.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        named("max pool", ops::max_pool2d(images, self.kernel, self.stride, self.padding))
    }
}
