//! Backward pass. Of each window only the largest value has a gradient, and only if it is positive: at most one in
//! `pool * pool` values of the convolution. These *places* are listed, and each adds a small patch to the gradient of the
//! weights (the part of the image under the kernel) and of the image (the kernel).
//!
//! A row of a patch is handled as one vector of eight, of which the kernel's width is used: what the others get of the
//! weights' gradient is dropped in the end, and what they give to the image's gradient is zero.

use super::partial::{Partial, Wanted};
use super::size::{DEAD, Size};
use crate::kernels::simd::{Kernel, LANES, Simd, sum};

/// Places whose patches are added to the weights' gradient at once, to save reading and writing the sums.
const TOGETHER: usize = 4;

/// Values of the weights' gradient with rows of whole vectors.
pub(crate) fn padded_len(size: Size) -> usize {
    size.outputs * size.kernel_rows() * LANES
}

/// Each kernel row in a vector of its own, filled up with zeros.
pub(crate) fn pad_rows(size: Size, weight: &[f32]) -> Vec<f32> {
    let mut padded = vec![0.0; padded_len(size)];
    for (padded, weight) in padded.chunks_exact_mut(LANES).zip(weight.chunks_exact(size.kernel_width)) {
        padded[..weight.len()].copy_from_slice(weight);
    }
    padded
}

/// The used part of each vector.
pub(crate) fn unpad_rows(size: Size, padded: &[f32]) -> Vec<f32> {
    padded.chunks_exact(LANES).flat_map(|row| &row[..size.kernel_width]).copied().collect()
}

/// Backward pass of some samples.
pub(crate) struct BackwardPass<'a> {
    pub size: Size,
    pub wanted: Wanted,
    /// From [`pad_rows`].
    pub weight: &'a [f32],
    pub x: &'a [f32],
    /// Gradient of the result.
    pub dy: &'a [f32],
    /// From the forward pass.
    pub winners: &'a [u8],
    /// Gradient of `x`, zeros before; empty if not wanted.
    pub dx: &'a mut [f32],
    /// Gradients of weight and bias so far; those of the weight in the layout of [`pad_rows`].
    pub partial: &'a mut Partial,
}

impl Kernel for BackwardPass<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { size, wanted, weight, x, dy, winners, dx, partial } = self;
        let (plane, rows) = (size.pooled_height * size.pooled_width, size.kernel_rows() * LANES);
        // A vector at the end of the image reaches a little beyond it.
        let mut image = vec![0.0; size.input_len() + LANES];
        let mut places = Places::new(size);
        let row_starts = size.kernel_row_starts();
        let mut dx = dx.chunks_exact_mut(size.input_len());
        let samples = dy.chunks_exact(size.output_len()).zip(winners.chunks_exact(size.output_len()));
        for ((dy, winners), x) in samples.zip(x.chunks_exact(size.input_len())) {
            if wanted.weight {
                image[..x.len()].copy_from_slice(x);
            }
            let mut image_gradient = dx.next().map(|dx| (vec![0.0; size.input_len() + LANES], dx));
            let channels = dy.chunks_exact(plane).zip(winners.chunks_exact(plane)).enumerate();
            for (channel, (dy, winners)) in channels {
                places.list(dy, winners);
                if wanted.bias {
                    partial.bias[channel] += places.total();
                }
                let kernel = channel * rows..(channel + 1) * rows;
                if wanted.weight {
                    add_patches(simd, &image, &row_starts, &places, &mut partial.weight[kernel.clone()]);
                }
                if let Some((gradient, _)) = &mut image_gradient {
                    add_kernels(simd, &weight[kernel], &row_starts, &places, gradient);
                }
            }
            if let Some((gradient, dx)) = image_gradient {
                dx.copy_from_slice(&gradient[..dx.len()]);
            }
        }
    }
}

/// Where in the image the kernel lay, and the gradient there, for the values of one channel that have a gradient.
struct Places {
    /// Start of each window in the image.
    windows: Vec<u32>,
    /// Start of each place of a window from the start of the window; 0 for [`DEAD`].
    within: [u32; 256],
    starts: Vec<u32>,
    gradients: Vec<f32>,
    count: usize,
    /// No start is larger.
    last_start: usize,
}

impl Places {
    fn new(size: Size) -> Self {
        let (pool, width) = (size.pool, size.width);
        let grid = |rows: usize, columns: usize, step: usize| {
            let rows = (0..rows).map(move |row| row * step * width);
            rows.flat_map(move |row| (0..columns).map(move |column| (row + column * step) as u32)).collect::<Vec<_>>()
        };
        let windows = grid(size.pooled_height, size.pooled_width, pool);
        let last_start = (size.pooled_height * pool - 1) * width + size.pooled_width * pool - 1;
        let (starts, gradients) = (vec![0; windows.len()], vec![0.0; windows.len()]);
        let mut within = [0; 256];
        within.iter_mut().zip(grid(pool, pool, 1)).for_each(|(within, start)| *within = start);
        Self { windows, within, starts, gradients, count: 0, last_start }
    }

    /// Lists the live windows of one channel.
    #[inline(always)]
    fn list(&mut self, dy: &[f32], winners: &[u8]) {
        let mut count = 0;
        for ((&dy, &winner), &window) in dy.iter().zip(winners).zip(&self.windows) {
            // Always written, only counted if live: no branch that cannot be foretold.
            self.starts[count] = window + self.within[usize::from(winner)];
            self.gradients[count] = dy;
            count += usize::from(winner != DEAD);
        }
        self.count = count;
    }

    #[inline(always)]
    fn total(&self) -> f32 {
        sum(&self.gradients[..self.count])
    }
}

/// Adds, for each place, its gradient times the patch of the image there to the gradient of the kernel.
#[inline(always)]
fn add_patches<S: Simd>(simd: S, image: &[f32], row_starts: &[usize], places: &Places, kernel: &mut [f32]) {
    let (starts, gradients) = (&places.starts[..places.count], &places.gradients[..places.count]);
    let last_row = row_starts.last().copied().unwrap_or_default();
    assert!(last_row + places.last_start + LANES <= image.len() && row_starts.len() * LANES <= kernel.len());
    let (starts, rest_starts) = starts.as_chunks::<TOGETHER>();
    let (gradients, rest_gradients) = gradients.as_chunks::<TOGETHER>();
    for (starts, gradients) in starts.iter().zip(gradients) {
        add_rows(simd, image, row_starts, starts.map(|start| start as usize), *gradients, kernel);
    }
    for (&start, &gradient) in rest_starts.iter().zip(rest_gradients) {
        add_rows(simd, image, row_starts, [start as usize], [gradient], kernel);
    }
}

#[inline(always)]
fn add_rows<S: Simd, const N: usize>(
    simd: S,
    image: &[f32],
    row_starts: &[usize],
    starts: [usize; N],
    gradients: [f32; N],
    kernel: &mut [f32],
) {
    let gradients = gradients.map(|gradient| simd.splat(gradient));
    for (i, &row) in row_starts.iter().enumerate() {
        // SAFETY: `add_patches` has checked that the last row of the patch at the last place ends within the image, and
        // that there is a vector of the kernel for each row.
        unsafe {
            let mut sum = simd.load(kernel, i * LANES);
            for (&start, &gradient) in starts.iter().zip(&gradients) {
                sum = simd.multiply_add(gradient, simd.load(image, row + start), sum);
            }
            simd.store(sum, kernel, i * LANES);
        }
    }
}

/// Adds, for each place, its gradient times the kernel to the gradient of the image there.
#[inline(always)]
fn add_kernels<S: Simd>(simd: S, kernel: &[f32], row_starts: &[usize], places: &Places, image: &mut [f32]) {
    let last_row = row_starts.last().copied().unwrap_or_default();
    assert!(last_row + places.last_start + LANES <= image.len() && row_starts.len() * LANES <= kernel.len());
    for (&start, &gradient) in places.starts[..places.count].iter().zip(&places.gradients) {
        let gradient = simd.splat(gradient);
        for (i, &row) in row_starts.iter().enumerate() {
            // SAFETY: the last row of the patch at the last place ends within the image, and there is a vector of the
            // kernel for each row, as checked above.
            unsafe {
                let at = row + start as usize;
                let sum = simd.multiply_add(gradient, simd.load(kernel, i * LANES), simd.load(image, at));
                simd.store(sum, image, at);
            }
        }
    }
}
