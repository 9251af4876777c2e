//! `max(x, 0)`, with the derivative 0 at 0.

use super::parallel::for_each_chunk;

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 15;

/// The larger of 0 and each value; NaN stays NaN.
pub(crate) fn forward(x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for_each_chunk(&mut y, CHUNK, x.len(), |i, y| {
        for (y, &x) in y.iter_mut().zip(&x[i * CHUNK..]) {
            // The comparison this way round keeps NaN.
            *y = if x <= 0.0 { 0.0 } else { x };
        }
    });
    y
}

/// The gradient of what gave `y`, for that of `y`.
pub(crate) fn backward(y: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; y.len()];
    for_each_chunk(&mut dx, CHUNK, y.len(), |i, dx| {
        let at = i * CHUNK;
        for ((dx, &y), &dy) in dx.iter_mut().zip(&y[at..]).zip(&dy[at..]) {
            *dx = if y <= 0.0 { 0.0 } else { dy };
        }
    });
    dx
}
