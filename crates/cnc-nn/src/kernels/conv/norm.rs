//! Batch norm and ReLU pixel by pixel, forward: a channel's constants lie beside each other as the channels of a pixel do.

use super::moments::{Measure, Moments};
use crate::kernels::buffers::Buffer;
use crate::kernels::parallel::for_each_chunk;
use crate::kernels::simd::{Kernel, Simd, dispatch};

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `scale * x + shift`, channel by channel: a normalisation whose mean and variance are known.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// `out = relu(scale * x + shift)` for any number of pixels.
pub(crate) struct Activate<'a> {
    pub x: &'a [f32],
    pub affine: &'a Affine,
    pub out: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Affine { scale, shift } = self.affine;
        let channels = scale.len().max(1);
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                *out = rectify(x * scale + shift);
            }
        }
    }
}

/// The comparison this way round keeps NaN.
#[inline(always)]
fn rectify(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// `x = scale * x + shift`, plus `add`, then ReLU if asked for, in place.
struct Finish<'a> {
    x: &'a mut [f32],
    affine: &'a Affine,
    add: Option<&'a [f32]>,
    rectify: bool,
}

impl Kernel for Finish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Affine { scale, shift } = self.affine;
        let channels = scale.len().max(1);
        match (self.add, self.rectify) {
            (Some(add), true) => {
                for (x, add) in self.x.chunks_exact_mut(channels).zip(add.chunks_exact(channels)) {
                    for (((x, add), scale), shift) in x.iter_mut().zip(add).zip(scale).zip(shift) {
                        *x = rectify(*x * scale + shift + add);
                    }
                }
            }
            (Some(add), false) => {
                for (x, add) in self.x.chunks_exact_mut(channels).zip(add.chunks_exact(channels)) {
                    for (((x, add), scale), shift) in x.iter_mut().zip(add).zip(scale).zip(shift) {
                        *x = *x * scale + shift + add;
                    }
                }
            }
            (None, true) => {
                for x in self.x.chunks_exact_mut(channels) {
                    for ((x, scale), shift) in x.iter_mut().zip(scale).zip(shift) {
                        *x = rectify(*x * scale + shift);
                    }
                }
            }
            (None, false) => {
                for x in self.x.chunks_exact_mut(channels) {
                    for ((x, scale), shift) in x.iter_mut().zip(scale).zip(shift) {
                        *x = *x * scale + shift;
                    }
                }
            }
        }
    }
}

/// What is done to a block of a convolution's result while it is in the cache.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue<'a> {
    /// Nothing.
    Keep,
    /// The moments of each channel are measured.
    Measure,
    /// The result is normalised, added to and rectified in place.
    Finish { affine: &'a Affine, add: Option<&'a [f32]>, rectify: bool },
}

/// Does so with the block that starts at `at` in the result.
pub(crate) fn finish(epilogue: Epilogue, at: usize, block: &mut [f32], moments: &mut Moments) {
    match epilogue {
        Epilogue::Keep => {}
        Epilogue::Measure => dispatch(Measure { x: block, into: moments }),
        Epilogue::Finish { affine, add, rectify } => {
            let add = add.map(|add| &add[at..at + block.len()]);
            dispatch(Finish { x: block, affine, add, rectify });
        }
    }
}

/// `relu(scale * x + shift + other)`, where the other is normalised too if it has an affine map of its own.
pub(crate) fn add_and_rectify(x: &[f32], affine: &Affine, other: &[f32], other_affine: Option<&Affine>) -> Buffer {
    let channels = affine.scale.len().max(1);
    let chunk = CHUNK.next_multiple_of(channels);
    let mut y = Buffer::any(x.len());
    for_each_chunk(&mut y, chunk, x.len(), |i, y| {
        let range = i * chunk..i * chunk + y.len();
        dispatch(AddAndRectify { x: &x[range.clone()], affine, other: &other[range], other_affine, y });
    });
    y
}

struct AddAndRectify<'a> {
    x: &'a [f32],
    affine: &'a Affine,
    other: &'a [f32],
    other_affine: Option<&'a Affine>,
    y: &'a mut [f32],
}

impl Kernel for AddAndRectify<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Affine { scale, shift } = self.affine;
        let channels = scale.len().max(1);
        let pixels = self.x.chunks_exact(channels).zip(self.other.chunks_exact(channels));
        let pixels = self.y.chunks_exact_mut(channels).zip(pixels);
        if let Some(Affine { scale: other_scale, shift: other_shift }) = self.other_affine {
            for (y, (x, other)) in pixels {
                let constants = scale.iter().zip(shift).zip(other_scale).zip(other_shift);
                for (((y, x), other), (((scale, shift), other_scale), other_shift)) in
                    y.iter_mut().zip(x).zip(other).zip(constants)
                {
                    *y = rectify(x * scale + shift + (other * other_scale + other_shift));
                }
            }
        } else {
            for (y, (x, other)) in pixels {
                for ((((y, x), other), scale), shift) in y.iter_mut().zip(x).zip(other).zip(scale).zip(shift) {
                    *y = rectify(x * scale + shift + other);
                }
            }
        }
    }
}
