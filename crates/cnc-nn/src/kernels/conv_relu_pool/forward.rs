//! Forward pass: the rows of the convolution that one row of windows needs are made in registers and kept in a *band* in
//! the first-level cache, then each window is reduced to its largest value and the place of it.

use super::size::Size;
use super::windows::{pool_channels, pool_columns};
use crate::kernels::simd::{Kernel, LANES, Simd};

/// Vectors of sums that a tile keeps in registers along one axis; `3 x 4` and `6 x 2` leave room for the factors in
/// sixteen registers.
const MOST_COLUMN_VECTORS: usize = 4;
const MOST_CHANNELS: usize = 3;
const MOST_COLUMNS: usize = 6;
const MOST_CHANNEL_VECTORS: usize = 2;

/// What lies side by side in a vector.
#[derive(Debug, Clone)]
pub(crate) enum Weights<'a> {
    /// Output columns of one channel; weights as they come, `(out, in, kernel height, kernel width)`.
    Columns(&'a [f32]),
    /// Output channels of one column; weights as `(in, kernel height, kernel width, out)`, with zeros up to whole vectors.
    Channels { packed: Vec<f32>, outputs: usize },
}

impl<'a> Weights<'a> {
    /// Chooses what fits into whole vectors with less waste.
    pub fn new(size: Size, weight: &'a [f32]) -> Self {
        if !size.outputs.is_multiple_of(LANES) && size.used_width() >= LANES {
            return Self::Columns(weight);
        }
        let (depth, outputs) = (size.depth(), size.outputs.next_multiple_of(LANES));
        let mut packed = vec![0.0; depth * outputs];
        for (channel, weight) in weight.chunks_exact(depth).enumerate() {
            for (row, &weight) in packed.chunks_exact_mut(outputs).zip(weight) {
                row[channel] = weight;
            }
        }
        Self::Channels { packed, outputs }
    }
}

/// Forward pass of some samples.
pub(crate) struct ForwardPass<'a> {
    pub size: Size,
    pub weights: &'a Weights<'a>,
    pub bias: &'a [f32],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    /// Place of the largest value in each window, [`DEAD`] where it is not positive.
    pub winners: &'a mut [u8],
}

impl Kernel for ForwardPass<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { size, weights, bias, x, y, winners } = self;
        let samples = y.chunks_exact_mut(size.output_len()).zip(winners.chunks_exact_mut(size.output_len()));
        let samples = samples.zip(x.chunks_exact(size.input_len()));
        match weights {
            Weights::Columns(weight) => {
                let mut band = vec![0.0; size.outputs * size.pool * size.used_width()];
                for ((y, winners), x) in samples {
                    for row in 0..size.pooled_height {
                        for i in 0..size.pool {
                            columns_row(simd, size, x, weight, bias, row * size.pool + i, i, &mut band);
                        }
                        pool_columns(simd, size, &band, row, y, winners);
                    }
                }
            }
            Weights::Channels { packed, outputs } => {
                let mut padded_bias = vec![0.0; *outputs];
                padded_bias[..bias.len()].copy_from_slice(bias);
                let mut band = vec![0.0; size.pool * size.used_width() * outputs];
                for ((y, winners), x) in samples {
                    for row in 0..size.pooled_height {
                        for (i, band) in band.chunks_exact_mut(size.used_width() * outputs).enumerate() {
                            channels_row(simd, size, x, packed, &padded_bias, row * size.pool + i, band);
                        }
                        pool_channels(simd, size, *outputs, &band, row, y, winners);
                    }
                }
            }
        }
    }
}

/// Cuts `0..total` into equal pieces of at most `most`; the last one may overlap the one before. Returns the size of a
/// piece, and the starts.
#[inline(always)]
fn pieces(total: usize, most: usize) -> (usize, impl Iterator<Item = usize>) {
    let count = total.div_ceil(most);
    let piece = total.div_ceil(count.max(1));
    (piece, (0..count).map(move |i| (i * piece).min(total - piece)))
}

/// One row of the convolution for all channels, columns in vectors. Row `slot` of each channel's band, which is laid out
/// `(out, pool, width)`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a row of a convolution has that many parts")]
fn columns_row<S: Simd>(
    simd: S,
    size: Size,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    row: usize,
    slot: usize,
    band: &mut [f32],
) {
    let width = size.used_width();
    let (vectors, first_vectors) = pieces(width.div_ceil(LANES), MOST_COLUMN_VECTORS);
    for first_vector in first_vectors {
        let (channels, first_channels) = pieces(size.outputs, MOST_CHANNELS);
        for channel in first_channels {
            let tile = ColumnsTile { size, x, weight, bias, row, slot, width, first_vector, channel };
            match (channels, vectors) {
                (3, 4) => tile.run::<S, 3, 4>(simd, band),
                (3, 3) => tile.run::<S, 3, 3>(simd, band),
                (3, 2) => tile.run::<S, 3, 2>(simd, band),
                (3, _) => tile.run::<S, 3, 1>(simd, band),
                (2, 4) => tile.run::<S, 2, 4>(simd, band),
                (2, 3) => tile.run::<S, 2, 3>(simd, band),
                (2, 2) => tile.run::<S, 2, 2>(simd, band),
                (2, _) => tile.run::<S, 2, 1>(simd, band),
                (_, 4) => tile.run::<S, 1, 4>(simd, band),
                (_, 3) => tile.run::<S, 1, 3>(simd, band),
                (_, 2) => tile.run::<S, 1, 2>(simd, band),
                (_, _) => tile.run::<S, 1, 1>(simd, band),
            }
        }
    }
}

/// `CHANNELS` channels of `VECTORS` vectors of columns of one row.
struct ColumnsTile<'a> {
    size: Size,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    row: usize,
    slot: usize,
    width: usize,
    first_vector: usize,
    channel: usize,
}

impl ColumnsTile<'_> {
    #[inline(always)]
    fn run<S: Simd, const CHANNELS: usize, const VECTORS: usize>(self, simd: S, band: &mut [f32]) {
        let Self { size, x, weight, bias, row, slot, width, first_vector, channel } = self;
        let depth = size.depth();
        // The last vector of a row overlaps the one before rather than reach beyond the row.
        let columns: [usize; VECTORS] = std::array::from_fn(|j| ((first_vector + j) * LANES).min(width - LANES));
        let last_row = ((size.inputs - 1) * size.height + row + size.kernel_height - 1) * size.width;
        assert!(last_row + size.kernel_width - 1 + width <= x.len() && (channel + CHANNELS) * depth <= weight.len());
        assert!((channel + CHANNELS) * size.pool * width <= band.len() && slot < size.pool);
        let mut sums: [[S::Vector; VECTORS]; CHANNELS] =
            std::array::from_fn(|i| [simd.splat(bias[channel + i]); VECTORS]);
        let mut at = channel * depth;
        for plane in 0..size.inputs {
            for ky in 0..size.kernel_height {
                let start = (plane * size.height + row + ky) * size.width;
                for kx in 0..size.kernel_width {
                    // SAFETY: `at` stays below `(channel + 1) * depth`, so the largest weight read is below `(channel +
                    // CHANNELS) * depth`; a vector of pixels ends at most at `last_row + kx + width`. Both are checked above.
                    unsafe {
                        // Twelve sums, three weights and one vector of pixels: just the sixteen registers there are.
                        let weights: [S::Vector; CHANNELS] =
                            std::array::from_fn(|i| simd.broadcast(weight, at + i * depth));
                        for (j, &column) in columns.iter().enumerate() {
                            let pixels = simd.load(x, start + kx + column);
                            for (sums, &weight) in sums.iter_mut().zip(&weights) {
                                sums[j] = simd.multiply_add(weight, pixels, sums[j]);
                            }
                        }
                    }
                    at += 1;
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (sum, column) in sums.iter().zip(columns) {
                // SAFETY: `column + LANES <= width`, and row `slot` of channel `channel + i` lies within the band, as
                // checked above.
                unsafe { simd.store(*sum, band, ((channel + i) * size.pool + slot) * width + column) }
            }
        }
    }
}

/// One row of the convolution for all channels, channels in vectors, laid out `(width, out)`.
#[inline(always)]
fn channels_row<S: Simd>(simd: S, size: Size, x: &[f32], packed: &[f32], bias: &[f32], row: usize, band: &mut [f32]) {
    let outputs = bias.len();
    let (vectors, first_vectors) = pieces(outputs / LANES, MOST_CHANNEL_VECTORS);
    for first_vector in first_vectors {
        let (columns, first_columns) = pieces(size.used_width(), MOST_COLUMNS);
        for column in first_columns {
            let tile = ChannelsTile { size, x, packed, bias, row, outputs, column, channel: first_vector * LANES };
            match (columns, vectors) {
                (6, 2) => tile.run::<S, 6, 2>(simd, band),
                (5, 2) => tile.run::<S, 5, 2>(simd, band),
                (4, 2) => tile.run::<S, 4, 2>(simd, band),
                (3, 2) => tile.run::<S, 3, 2>(simd, band),
                (2, 2) => tile.run::<S, 2, 2>(simd, band),
                (_, 2) => tile.run::<S, 1, 2>(simd, band),
                (6, _) => tile.run::<S, 6, 1>(simd, band),
                (5, _) => tile.run::<S, 5, 1>(simd, band),
                (4, _) => tile.run::<S, 4, 1>(simd, band),
                (3, _) => tile.run::<S, 3, 1>(simd, band),
                (2, _) => tile.run::<S, 2, 1>(simd, band),
                (_, _) => tile.run::<S, 1, 1>(simd, band),
            }
        }
    }
}

/// `COLUMNS` columns of `VECTORS` vectors of channels of one row.
struct ChannelsTile<'a> {
    size: Size,
    x: &'a [f32],
    packed: &'a [f32],
    bias: &'a [f32],
    row: usize,
    outputs: usize,
    column: usize,
    channel: usize,
}

impl ChannelsTile<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S, band: &mut [f32]) {
        let Self { size, x, packed, bias, row, outputs, column, channel } = self;
        let last_row = ((size.inputs - 1) * size.height + row + size.kernel_height - 1) * size.width;
        assert!(last_row + column + COLUMNS - 1 + size.kernel_width <= x.len());
        assert!(
            channel + VECTORS * LANES <= outputs && outputs == bias.len() && size.depth() * outputs <= packed.len()
        );
        assert!((column + COLUMNS) * outputs <= band.len());
        // SAFETY: `channel + VECTORS * LANES` is within the bias, as checked above.
        let start: [S::Vector; VECTORS] = std::array::from_fn(|j| unsafe { simd.load(bias, channel + j * LANES) });
        let mut sums = [start; COLUMNS];
        let mut at = channel;
        for plane in 0..size.inputs {
            for ky in 0..size.kernel_height {
                let start = (plane * size.height + row + ky) * size.width + column;
                for kx in 0..size.kernel_width {
                    // SAFETY: `at` runs over `channel + i * outputs` for the `i` below the depth; the pixels end at most at
                    // `last_row + column + COLUMNS - 1 + kernel_width`. Both are checked above.
                    unsafe {
                        let weights: [S::Vector; VECTORS] = std::array::from_fn(|j| simd.load(packed, at + j * LANES));
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let pixel = simd.broadcast(x, start + kx + i);
                            for (sum, &weight) in sums.iter_mut().zip(&weights) {
                                *sum = simd.multiply_add(weight, pixel, *sum);
                            }
                        }
                    }
                    at += outputs;
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                // SAFETY: column `column + i` of the band is within it, and the channels within the column, as checked above.
                unsafe { simd.store(sum, band, (column + i) * outputs + channel + j * LANES) }
            }
        }
    }
}
