//! What the passes of a convolution read and write: maps that are normalised on the way, so that nothing between two
//! convolutions is written to memory but what the first one gives.

use rayon::prelude::*;

use super::geometry::{Conv, Piece, Window};
use super::norm::{Activate, Affine};
use super::norm_gradient::{Centre, NormGradient, Normalised, Sum, Sums, ThroughActivation, ThroughRelu};
use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::scratch::reserve;
use crate::kernels::simd::dispatch;

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// `(batch, height, width, inputs)`.
    pub values: &'a [f32],
    /// What is to be read is `relu(scale * values + shift)`, if there is one; else the values themselves.
    pub affine: Option<&'a Affine>,
}

impl Source<'_> {
    /// Whether products can read the values where they are.
    pub fn direct(&self, conv: Conv) -> bool {
        self.affine.is_none() && conv.kernel == 1
    }

    /// Writes what the pieces of a block see into the scratch buffer.
    pub fn fill(&self, conv: Conv, pieces: &[Piece], scratch: &mut Vec<f32>) {
        let windows: Vec<_> = pieces.iter().map(|piece| (piece.image, conv.seen(piece))).collect();
        self.fill_windows(conv, &windows, scratch);
    }

    /// Writes windows of images into the scratch buffer.
    pub fn fill_windows(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        reserve(scratch, windows.iter().map(|(_, window)| window.len(conv.inputs)).sum());
        let (line_len, mut at) = (conv.width * conv.inputs, 0);
        for (image, window) in windows {
            let image = &self.values[image * conv.height * line_len..];
            window.fill([conv.height, conv.width, conv.inputs], &mut scratch[at..], |line, out| {
                let x = &image[line * line_len..][..line_len];
                match self.affine {
                    Some(affine) => dispatch(Activate { x, affine, out }),
                    None => out.copy_from_slice(x),
                }
            });
            at += window.len(conv.inputs);
        }
    }

    /// The way back through the ReLU that the values come from: zeroes the gradient of lines of `line_len` values, the first
    /// of which is at `at`, where nothing came through, and adds to the sums of each normalisation in front of the ReLU,
    /// those by the batch having a centre.
    pub fn back_through_relu<'a>(
        &self,
        at: usize,
        gradient: &mut [f32],
        line_len: usize,
        centres: &[Option<Centre<'a>>],
        sums: &mut [Sums],
    ) {
        let Some(((first, others), (sum, other_sums))) = centres.split_first().zip(sums.split_first_mut()) else {
            return;
        };
        for (line, gradient) in gradient.chunks_exact_mut(line_len.max(1)).enumerate() {
            let range = at + line * line_len..at + (line + 1) * line_len;
            let part = |centre: &Option<Centre<'a>>| centre.map(|centre| centre.part(range.clone()));
            let (y, centre) = (&self.values[range.clone()], part(first));
            match (self.affine, centre) {
                (Some(affine), Some(centre)) => dispatch(ThroughActivation { gradient, affine, centre, sums: sum }),
                _ => dispatch(ThroughRelu { gradient, y, centre, sums: sum }),
            }
            for (centre, sums) in others.iter().zip(&mut *other_sums) {
                dispatch(Sum { gradient, centre: part(centre), sums });
            }
        }
    }
}

/// The gradient in front of the ReLU whose result is `y`, which has lines of `width` pixels, and the sums of each
/// normalisation in front of it.
pub(crate) fn through_relu(
    gradient: &[f32],
    y: &[f32],
    [width, channels]: [usize; 2],
    centres: &[Option<Centre>],
) -> (Buffer, Vec<Sums>) {
    let line_len = width * channels;
    let source = Source { values: y, affine: None };
    // As few chunks as feed the threads of a workstation: each has sums of its own.
    let chunk = (y.len() / 64).max(1).next_multiple_of(line_len.max(1));
    let mut out = Buffer::any(y.len());
    let work = |(i, out): (usize, &mut [f32])| {
        let mut sums = Sums::zeros_for(centres, channels);
        out.copy_from_slice(&gradient[i * chunk..][..out.len()]);
        source.back_through_relu(i * chunk, out, line_len, centres, &mut sums);
        sums
    };
    let partials: Vec<Vec<Sums>> = out.par_chunks_mut(chunk).enumerate().map(work).collect();
    let sums = Sums::total(&partials, centres, channels);
    (out, sums)
}

/// The gradient of a convolution's result.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    /// Gradient behind the normalisation.
    pub gradient: &'a [f32],
    /// The convolution's result and the way back through its normalisation, if there is more to it than a factor of each
    /// channel, which [`Weighting`] has.
    pub normalised: Option<(&'a [f32], &'a NormGradient)>,
}

impl Incoming<'_> {
    /// Whether products can read the gradient where it is.
    pub fn direct(&self, conv: Conv) -> bool {
        self.normalised.is_none() && conv.kernel == 1
    }

    /// Writes what sees the pieces of a block into the scratch buffer.
    pub fn fill(&self, conv: Conv, pieces: &[Piece], scratch: &mut Vec<f32>) {
        let windows: Vec<_> = pieces.iter().map(|piece| (piece.image, conv.seeing(piece))).collect();
        self.fill_windows(conv, &windows, scratch);
    }

    /// Writes windows of images into the scratch buffer.
    pub fn fill_windows(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        reserve(scratch, windows.iter().map(|(_, window)| window.len(conv.outputs)).sum());
        let (line_len, mut at) = (conv.out_width() * conv.outputs, 0);
        for (image, window) in windows {
            let image = image * conv.out_height() * line_len;
            window.fill([conv.out_height(), conv.out_width(), conv.outputs], &mut scratch[at..], |line, out| {
                let range = image + line * line_len..image + (line + 1) * line_len;
                let gradient = &self.gradient[range.clone()];
                match self.normalised {
                    Some((x, by)) => dispatch(Normalised { gradient, x: &x[range], by, out }),
                    None => out.copy_from_slice(gradient),
                }
            });
            at += window.len(conv.outputs);
        }
    }
}

/// What becomes of the gradient of the input.
pub(crate) enum InputGradient<'a> {
    /// Nobody wants it.
    Unwanted,
    /// It is written, or added, to these values.
    Wanted {
        dx: &'a mut [f32],
        destination: Destination,
        /// If the source comes from a ReLU, the normalisations in front of it, through which the gradient goes on; else none.
        behind: &'a [Option<Centre<'a>>],
    },
}

impl<'a> InputGradient<'a> {
    pub fn wanted_if(
        wanted: bool,
        dx: &'a mut [f32],
        destination: Destination,
        behind: &'a [Option<Centre<'a>>],
    ) -> Self {
        if wanted { Self::Wanted { dx, destination, behind } } else { Self::Unwanted }
    }

    /// Where it goes, whether what is there stays, and what is behind it.
    pub fn parts(self) -> (Option<&'a mut [f32]>, Destination, &'a [Option<Centre<'a>>]) {
        match self {
            Self::Unwanted => (None, Destination::Overwrite, &[]),
            Self::Wanted { dx, destination, behind } => (Some(dx), destination, behind),
        }
    }
}

/// The weight of a convolution, and whether its gradient is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Weighting<'a> {
    pub weight: &'a [f32],
    /// What the gradient of each channel of the result is multiplied by on its way to the input: the gradient of the weight is
    /// without it.
    pub factors: Option<&'a [f32]>,
    pub wanted: bool,
}

impl Weighting<'_> {
    pub fn factor(&self, output: usize) -> f32 {
        self.factors.map_or(1.0, |factors| factors[output])
    }
}
