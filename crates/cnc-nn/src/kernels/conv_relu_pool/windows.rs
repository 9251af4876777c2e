//! Windows side by side in a band of a convolution's rows: the largest value of each, after ReLU, and the place of it.

use super::size::{DEAD, Size};
use crate::kernels::simd::{LANES, Simd};

/// One row of windows of each channel from a band laid out `(out, pool, width)`.
#[inline(always)]
pub(super) fn pool_columns<S: Simd>(simd: S, size: Size, band: &[f32], row: usize, y: &mut [f32], winners: &mut [u8]) {
    let (width, pooled) = (size.used_width(), size.pooled_width);
    for (channel, band) in band.chunks_exact(size.pool * width).enumerate() {
        let at = (channel * size.pooled_height + row) * pooled;
        let (y, winners) = (&mut y[at..at + pooled], &mut winners[at..at + pooled]);
        if size.pool == 2 && pooled >= LANES {
            for first in (0..pooled).step_by(LANES) {
                // The last vector of a row overlaps the one before rather than reach beyond the row.
                let first = first.min(pooled - LANES);
                pool_pairs(simd, band, width, first, y, winners);
            }
        } else {
            for (column, (y, winner)) in y.iter_mut().zip(winners).enumerate() {
                let mut best = (simd.splat(f32::NEG_INFINITY), simd.splat(0.0));
                for (i, band) in band.chunks_exact(width).enumerate() {
                    for (j, &value) in band[column * size.pool..(column + 1) * size.pool].iter().enumerate() {
                        best = simd.keep_larger(best, simd.splat(value), simd.splat((i * size.pool + j) as f32));
                    }
                }
                let (value, place) = simd.rectify(best, simd.splat(f32::from(DEAD)));
                (*y, *winner) = (simd.array(value)[0], simd.bytes(place)[0]);
            }
        }
    }
}

/// Eight windows of 2 x 2 from two rows of `width` columns, the window `first` being the first one.
#[inline(always)]
fn pool_pairs<S: Simd>(simd: S, band: &[f32], width: usize, first: usize, y: &mut [f32], winners: &mut [u8]) {
    assert!(2 * (first + LANES) <= width && 2 * width <= band.len());
    assert!(first + LANES <= y.len() && y.len() == winners.len());
    let row = |start: usize| {
        let at = start + 2 * first;
        // SAFETY: sixteen columns from `2 * first` on lie within the width, and two rows of it within the band.
        unsafe { simd.deinterleave(simd.load(band, at), simd.load(band, at + LANES)) }
    };
    let (upper, lower) = (row(0), row(width));
    let mut best = (upper.0, simd.splat(0.0));
    for (value, place) in [(upper.1, 1.0), (lower.0, 2.0), (lower.1, 3.0)] {
        best = simd.keep_larger(best, value, simd.splat(place));
    }
    let (value, place) = simd.rectify(best, simd.splat(f32::from(DEAD)));
    // SAFETY: eight values from `first` on lie within `y`.
    unsafe { simd.store(value, y, first) };
    winners[first..first + LANES].copy_from_slice(&simd.bytes(place));
}

/// One row of windows of all channels from a band laid out `(pool, width, out)`.
#[inline(always)]
pub(super) fn pool_channels<S: Simd>(
    simd: S,
    size: Size,
    outputs: usize,
    band: &[f32],
    row: usize,
    y: &mut [f32],
    winners: &mut [u8],
) {
    let (plane, line) = (size.pooled_height * size.pooled_width, size.used_width() * outputs);
    assert!(size.pool * line <= band.len() && outputs.is_multiple_of(LANES));
    for column in 0..size.pooled_width {
        let at = row * size.pooled_width + column;
        for first in (0..size.outputs).step_by(LANES) {
            let mut best = (simd.splat(f32::NEG_INFINITY), simd.splat(0.0));
            for i in 0..size.pool {
                for j in 0..size.pool {
                    let pixel = i * line + (column * size.pool + j) * outputs;
                    // SAFETY: pixel `column * pool + j` lies within a line, line `i` within the band, and eight channels
                    // from `first` on within a pixel, as `outputs` is a multiple of eight; checked above.
                    let values = unsafe { simd.load(band, pixel + first) };
                    best = simd.keep_larger(best, values, simd.splat((i * size.pool + j) as f32));
                }
            }
            let (values, places) = simd.rectify(best, simd.splat(f32::from(DEAD)));
            let lanes = simd.array(values).into_iter().zip(simd.bytes(places));
            for (channel, (value, place)) in (first..size.outputs).zip(lanes) {
                (y[channel * plane + at], winners[channel * plane + at]) = (value, place);
            }
        }
    }
}
