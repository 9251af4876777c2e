//! The two passes of a convolution over feature maps: by minimal filtering where that is quicker, else directly.

use super::geometry::Conv;
use super::moments::Moments;
use super::norm::Epilogue;
use super::norm_gradient::Sums;
use super::operands::{Incoming, InputGradient, Source, Weighting};
use super::{direct, winograd};
use crate::kernels::buffers::Buffer;

/// The convolution of `source` with `weight`, `(batch, height', width', outputs)`, and the moments of its channels if they
/// are to be measured.
pub(crate) fn forward(conv: Conv, source: Source, weight: &[f32], epilogue: Epilogue) -> (Buffer, Moments) {
    let pass = if winograd::suits(conv) { winograd::forward } else { direct::forward };
    pass(conv, source, weight, epilogue)
}

/// The gradients of the weight, if wanted, and of the input; and the sums of each normalisation behind the input.
pub(crate) fn backward(
    conv: Conv,
    source: Source,
    incoming: Incoming,
    weighting: Weighting,
    input: InputGradient,
) -> (Option<Vec<f32>>, Vec<Sums>) {
    if winograd::suits(conv) {
        winograd::backward(conv, source, incoming, weighting, input)
    } else {
        direct::backward(conv, source, incoming, weighting, input)
    }
}
