//! The parts of a row's softmax, `e^x / Σ e^x`.

use super::simd::{LANES, sum};
use super::special::exp;

/// Puts `e^(x - max)` in the place of each `x` of a row; returns their sum and `max`.
#[inline(always)]
pub(crate) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let (eights, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max });
    // A row of -∞ alone (or of NaN) has no largest value; it becomes NaN, as in PyTorch.
    let max = if max == f32::NEG_INFINITY { f32::NAN } else { max };
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    (sum(row), max)
}

/// Multiplies a row by `factor`.
#[inline(always)]
pub(crate) fn scale(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|x| *x *= factor);
}
