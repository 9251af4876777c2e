//! The sizes of one block of convolution, ReLU and pooling.

/// Marks a window without gradient, as its largest value is not positive.
pub(crate) const DEAD: u8 = u8::MAX;

/// The convolution has stride 1 and no padding, the windows lie side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub batch: usize,
    pub inputs: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub kernel_height: usize,
    pub kernel_width: usize,
    /// Side of a window.
    pub pool: usize,
    pub pooled_height: usize,
    pub pooled_width: usize,
}

impl Size {
    /// Columns of the convolution that fill windows.
    pub fn used_width(self) -> usize {
        self.pooled_width * self.pool
    }

    /// Values of one sample of the input.
    pub fn input_len(self) -> usize {
        self.inputs * self.height * self.width
    }

    /// Values of one sample of the result.
    pub fn output_len(self) -> usize {
        self.outputs * self.pooled_height * self.pooled_width
    }

    /// Weights of one output channel.
    pub fn depth(self) -> usize {
        self.kernel_rows() * self.kernel_width
    }

    /// Rows of the kernel of one output channel, over all input channels.
    pub fn kernel_rows(self) -> usize {
        self.inputs * self.kernel_height
    }

    /// Where each of the kernel's rows lies in the image when the kernel is at its upper left corner.
    pub fn kernel_row_starts(self) -> Vec<usize> {
        let rows = |plane: usize| (0..self.kernel_height).map(move |ky| (plane * self.height + ky) * self.width);
        (0..self.inputs).flat_map(rows).collect()
    }
}
