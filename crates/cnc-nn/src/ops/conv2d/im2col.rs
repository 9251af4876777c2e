//! Convolution as matrix products over unfolded bands of output rows.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use crate::ops::blocks::samples_per_block;
use crate::ops::gemm::{Destination, Matrix, MatrixMut, multiply};
use crate::ops::gradients::{Blocks, Gradients, Partial, Wanted};
use crate::ops::simd::sum;

/// Values of an unfolded band: a quarter of a usual second-level cache.
const BAND_VALUES: usize = 32 << 10;

impl Geometry {
    fn input_plane(self) -> usize {
        self.height * self.width
    }

    fn input_len(self) -> usize {
        self.inputs * self.input_plane()
    }

    fn output_plane(self) -> usize {
        self.out_height * self.out_width
    }

    fn output_len(self) -> usize {
        self.outputs * self.output_plane()
    }

    /// Multiplications for one value of the result: rows of the unfolded matrix.
    fn depth(self) -> usize {
        self.inputs * self.kernel_height * self.kernel_width
    }

    /// A kernel of one pixel on every pixel: the image is its own unfolded matrix.
    fn pointwise(self) -> bool {
        self.kernel_height == 1 && self.kernel_width == 1 && self.stride == 1 && self.padding == 0
    }

    /// Output rows that are unfolded at once.
    fn band(self) -> usize {
        if self.pointwise() {
            return self.out_height;
        }
        (BAND_VALUES / (self.depth() * self.out_width).max(1)).clamp(1, self.out_height)
    }

    fn bands(self) -> impl Iterator<Item = Range<usize>> {
        let band = self.band();
        (0..self.out_height).step_by(band).map(move |start| start..(start + band).min(self.out_height))
    }

    /// Values that an unfolded band needs at most.
    fn band_len(self) -> usize {
        if self.pointwise() { 0 } else { self.depth() * self.band() * self.out_width }
    }

    /// Output columns whose kernel column `kx` lies within the image.
    fn columns_inside(self, kx: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
        let end = (self.width + self.padding).saturating_sub(kx).div_ceil(self.stride).min(self.out_width);
        first.min(end)..end
    }

    /// Calls `each(row of the band, start of an output row in the unfolded row, start of the image row)` for each output
    /// row of the band and kernel row; the image row is `None` in the padding.
    fn for_each_row(self, band: &Range<usize>, mut each: impl FnMut(usize, usize, Option<usize>)) {
        for channel in 0..self.inputs {
            for ky in 0..self.kernel_height {
                for (i, row) in band.clone().enumerate() {
                    let y = (row * self.stride + ky).checked_sub(self.padding).filter(|&y| y < self.height);
                    let kernel_row = channel * self.kernel_height + ky;
                    each(kernel_row, i * self.out_width, y.map(|y| (channel * self.height + y) * self.width));
                }
            }
        }
    }

    /// Unfolds a band of output rows of one sample: row `(channel, ky, kx)` of the result holds, for each output pixel, the
    /// input pixel that this weight meets.
    fn unfold(self, x: &[f32], band: &Range<usize>, unfolded: &mut [f32]) {
        let pixels = band.len() * self.out_width;
        self.for_each_row(band, |kernel_row, at, image_row| {
            for kx in 0..self.kernel_width {
                let start = (kernel_row * self.kernel_width + kx) * pixels + at;
                let out = &mut unfolded[start..start + self.out_width];
                let (Some(image_row), inside) = (image_row, self.columns_inside(kx)) else {
                    out.fill(0.0);
                    continue;
                };
                if inside.is_empty() {
                    out.fill(0.0);
                    continue;
                }
                let first = image_row + inside.start * self.stride + kx - self.padding;
                out[..inside.start].fill(0.0);
                out[inside.end..].fill(0.0);
                let out = &mut out[inside];
                if self.stride == 1 {
                    out.copy_from_slice(&x[first..first + out.len()]);
                } else {
                    out.iter_mut().zip(x[first..].iter().step_by(self.stride)).for_each(|(out, &x)| *out = x);
                }
            }
        });
    }

    /// Adds an unfolded band back onto the image: the transpose of [`Geometry::unfold`].
    fn fold(self, unfolded: &[f32], band: &Range<usize>, x: &mut [f32]) {
        let pixels = band.len() * self.out_width;
        self.for_each_row(band, |kernel_row, at, image_row| {
            let Some(image_row) = image_row else { return };
            for kx in 0..self.kernel_width {
                let inside = self.columns_inside(kx);
                if inside.is_empty() {
                    continue;
                }
                let first = image_row + inside.start * self.stride + kx - self.padding;
                let start = (kernel_row * self.kernel_width + kx) * pixels + at;
                let from = &unfolded[start + inside.start..start + inside.end];
                x[first..].iter_mut().step_by(self.stride).zip(from).for_each(|(x, &from)| *x += from);
            }
        });
    }
}

/// `y = weight * x + bias`.
pub(super) fn forward(geometry: Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let (depth, plane) = (geometry.depth(), geometry.output_plane());
    let mut y = vec![0.0; geometry.batch * geometry.output_len()];
    let samples = samples_per_block(geometry.batch, 0);
    let weight = Matrix::new(weight, geometry.outputs, depth);
    y.par_chunks_mut((samples * geometry.output_len()).max(1)).enumerate().for_each(|(block, y)| {
        let mut unfolded = vec![0.0; geometry.band_len()];
        for (i, y) in y.chunks_exact_mut(geometry.output_len()).enumerate() {
            let x = &x[(block * samples + i) * geometry.input_len()..][..geometry.input_len()];
            y.chunks_exact_mut(plane).zip(bias).for_each(|(y, &bias)| y.fill(bias));
            for band in geometry.bands() {
                let pixels = band.len() * geometry.out_width;
                let rhs = if geometry.pointwise() {
                    Matrix::new(x, depth, pixels)
                } else {
                    geometry.unfold(x, &band, &mut unfolded);
                    Matrix::new(&unfolded, depth, pixels)
                };
                let y = &mut y[band.start * geometry.out_width..];
                multiply(MatrixMut::strided(y, geometry.outputs, pixels, plane), weight, rhs, Destination::Add);
            }
        }
    });
    y
}

/// The gradients of `x`, `weight` and `bias` for the gradient `dy` of the result.
pub(super) fn backward(geometry: Geometry, x: &[f32], weight: &[f32], dy: &[f32], wanted: Wanted) -> Gradients {
    let (depth, plane) = (geometry.depth(), geometry.output_plane());
    let weight_len = if wanted.weight { weight.len() } else { 0 };
    let bias_len = if wanted.bias { geometry.outputs } else { 0 };
    let weight = Matrix::new(weight, geometry.outputs, depth).transposed();
    Blocks::new(geometry.batch, geometry.input_len(), weight_len).add_up(wanted, |samples, dx| {
        let mut partial = Partial { weight: vec![0.0; weight_len], bias: vec![0.0; bias_len] };
        let mut unfolded = vec![0.0; geometry.band_len()];
        let mut dx = dx.chunks_exact_mut(geometry.input_len());
        for sample in samples {
            let x = &x[sample * geometry.input_len()..][..geometry.input_len()];
            let dy = &dy[sample * geometry.output_len()..][..geometry.output_len()];
            let mut dx = dx.next();
            for (db, dy) in partial.bias.iter_mut().zip(dy.chunks_exact(plane)) {
                *db += sum(dy);
            }
            for band in geometry.bands() {
                let pixels = band.len() * geometry.out_width;
                let dy = Matrix::strided(&dy[band.start * geometry.out_width..], geometry.outputs, pixels, plane);
                if wanted.weight {
                    let rhs = if geometry.pointwise() {
                        Matrix::new(x, depth, pixels)
                    } else {
                        geometry.unfold(x, &band, &mut unfolded);
                        Matrix::new(&unfolded, depth, pixels)
                    };
                    let dw = MatrixMut::new(&mut partial.weight, geometry.outputs, depth);
                    multiply(dw, dy, rhs.transposed(), Destination::Add);
                }
                if let Some(dx) = dx.as_deref_mut() {
                    if geometry.pointwise() {
                        multiply(MatrixMut::new(dx, depth, pixels), weight, dy, Destination::Overwrite);
                    } else {
                        let columns = MatrixMut::new(&mut unfolded, depth, pixels);
                        multiply(columns, weight, dy, Destination::Overwrite);
                        geometry.fold(&unfolded, &band, dx);
                    }
                }
            }
        }
        partial
    })
}
