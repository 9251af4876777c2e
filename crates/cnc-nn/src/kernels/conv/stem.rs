//! The stem of a residual network: a stage, whose result is normalised, pooled and rectified in one pass over it.

use rayon::prelude::*;

use super::geometry::Conv;
use super::moments::Moments;
use super::norm::Affine;
use super::norm_gradient::{Centre, Sum, Sums};
use super::operands::{InputGradient, Source};
use super::stage::{Done, Gradients, Stage, Then, Variables};
use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::simd::{Kernel, Simd, dispatch};

/// Pooling windows: side, step and padding of torchvision's stem.
const SIDE: usize = 3;
const STEP: usize = 2;
const PADDING: usize = 1;
/// Marks a window without gradient: its largest value is not positive.
const DEAD: u8 = u8::MAX;

/// `max_pool(relu(stage(images)))`, given what the backward pass needs.
pub(crate) struct Stem {
    done: Done,
    pool: Pool,
    winners: Vec<u8>,
}

impl Stem {
    /// Height and width of the result.
    pub fn out_size(stage: &Stage) -> [usize; 2] {
        let pool = Pool::of(stage.conv);
        [pool.out_height, pool.out_width]
    }

    /// The result on images `(batch, height, width, channels)`, and the moments if the stage is normalised by its batch.
    pub fn forward(stage: &Stage, images: &[f32], variables: Variables) -> (Vec<f32>, Option<Moments>, Self) {
        let mut moments = Vec::new();
        let source = Source { values: images, affine: None };
        let done = Done::run(stage, variables, source, Then::Keep, &mut moments);
        let pool = Pool::of(stage.conv);
        let (y, winners) = pool.forward(&done.x, done.affine());
        (y, moments.pop(), Self { done, pool, winners })
    }

    /// The gradients of the images and of the variables, where wanted, for `dy`, that of the result.
    pub fn backward(
        &self,
        images: &[f32],
        variables: Variables,
        dy: &[f32],
        wanted: bool,
        wanted_variables: [bool; 3],
    ) -> (Option<Vec<f32>>, Gradients) {
        let Self { done, pool, winners } = self;
        let (behind, sums) = pool.backward(dy, winners, &done.x, done.mean());
        let mut dx = vec![0.0; if wanted { images.len() } else { 0 }];
        let input = InputGradient::wanted_if(wanted, &mut dx, Destination::Overwrite, &[]);
        let source = Source { values: images, affine: None };
        let (gradients, _) = done.backward(source, &behind, &sums, variables, wanted_variables, input);
        (wanted.then_some(dx), gradients)
    }
}

/// The sizes of the pooling.
#[derive(Debug, Clone, Copy)]
struct Pool {
    height: usize,
    width: usize,
    out_height: usize,
    out_width: usize,
    channels: usize,
}

impl Pool {
    fn of(conv: Conv) -> Self {
        let (height, width) = (conv.out_height(), conv.out_width());
        let pooled = |size: usize| (size + 2 * PADDING - SIDE) / STEP + 1;
        Self { height, width, out_height: pooled(height), out_width: pooled(width), channels: conv.outputs }
    }

    fn line_len(self) -> usize {
        self.out_width * self.channels
    }

    /// The places of a window along one axis that lie in the image, each with its place in the image.
    fn inside(self, at: usize, size: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        (0..SIDE)
            .filter_map(move |k| (at * STEP + k).checked_sub(PADDING).map(|place| (k, place)))
            .filter(move |(_, p)| *p < size)
    }

    /// `relu(max_pool(scale * x + shift))`, and the place in its window of each value that has a gradient.
    fn forward(self, x: &[f32], affine: &Affine) -> (Vec<f32>, Vec<u8>) {
        let image_len = self.height * self.width * self.channels;
        let len = x.len() / image_len.max(1) * self.out_height * self.line_len();
        let (mut y, mut winners) = (vec![0.0; len], vec![0u8; len]);
        let lines = y.par_chunks_mut(self.line_len()).zip(winners.par_chunks_mut(self.line_len())).enumerate();
        lines.for_each(|(line, (y, winners))| {
            let image = &x[line / self.out_height * image_len..][..image_len];
            dispatch(PoolLine { pool: self, image, line: line % self.out_height, affine, y, winners });
        });
        (y, winners)
    }

    /// The gradient behind the normalisation of `x`, and its sums.
    fn backward(self, gradient: &[f32], winners: &[u8], x: &[f32], mean: &[f32]) -> (Buffer, Sums) {
        let image_len = self.height * self.width * self.channels;
        let (out_len, channels) = (self.out_height * self.line_len(), self.channels);
        let mut dx = Buffer::any(x.len());
        let of_image = |(image, dx): (usize, &mut [f32])| {
            dx.fill(0.0);
            let gradient = &gradient[image * out_len..][..out_len];
            let winners = winners[image * out_len..][..out_len].chunks_exact(channels.max(1));
            for (pixel, (gradient, winners)) in gradient.chunks_exact(channels.max(1)).zip(winners).enumerate() {
                let (top, left) = (pixel / self.out_width * STEP, pixel % self.out_width * STEP);
                for (channel, (gradient, winner)) in gradient.iter().zip(winners).enumerate() {
                    if *winner == DEAD {
                        continue;
                    }
                    let winner = usize::from(*winner);
                    let (y, x) = (top + winner / SIDE - PADDING, left + winner % SIDE - PADDING);
                    dx[(y * self.width + x) * channels + channel] += gradient;
                }
            }
            let mut sums = Sums::zeros(channels);
            let line_len = self.width * channels;
            for (line, gradient) in dx.chunks_exact(line_len).enumerate() {
                let x = &x[image * image_len + line * line_len..][..line_len];
                dispatch(Sum { gradient, centre: Some(Centre { x, mean }), sums: &mut sums });
            }
            sums
        };
        let partials: Vec<Sums> = dx.par_chunks_mut(image_len.max(1)).enumerate().map(of_image).collect();
        let mut sums = Sums::zeros(channels);
        partials.iter().for_each(|partial| sums.add(partial));
        (dx, sums)
    }
}

/// One line of the pooling.
struct PoolLine<'a> {
    pool: Pool,
    image: &'a [f32],
    line: usize,
    affine: &'a Affine,
    y: &'a mut [f32],
    winners: &'a mut [u8],
}

impl Kernel for PoolLine<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { pool, image, line, affine: Affine { scale, shift }, y, winners } = self;
        let channels = pool.channels.max(1);
        let mut places = vec![0i32; channels];
        let pixels = y.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels)).enumerate();
        for (column, (best, winners)) in pixels {
            best.fill(f32::NEG_INFINITY);
            for (ky, row) in pool.inside(line, pool.height) {
                for (kx, column) in pool.inside(column, pool.width) {
                    let place = (ky * SIDE + kx) as i32;
                    let x = &image[(row * pool.width + column) * channels..][..channels];
                    let constants = scale.iter().zip(shift);
                    for (((best, old), x), (scale, shift)) in best.iter_mut().zip(&mut places).zip(x).zip(constants) {
                        let value = x * scale + shift;
                        // A NaN is larger than everything, as in PyTorch.
                        let wins = (value > *best) | value.is_nan();
                        *best = if wins { value } else { *best };
                        *old = if wins { place } else { *old };
                    }
                }
            }
            for ((best, winner), place) in best.iter_mut().zip(winners).zip(&places) {
                *winner = if *best <= 0.0 { DEAD } else { *place as u8 };
                *best = if *best <= 0.0 { 0.0 } else { *best };
            }
        }
    }
}
