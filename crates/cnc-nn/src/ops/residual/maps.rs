//! What is done to feature maps pixel by pixel: a channel's constants lie beside each other as the channels of a pixel do.

use std::ops::Range;

use super::buffers::Buffer;
use crate::ops::blocks::for_each_chunk;
use crate::ops::simd::{Kernel, Simd, WIDE, dispatch, sum_of_pairs};

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 15;

/// Values that the processor is asked for ahead of those that are read.
const AHEAD: usize = 512;

/// `scale * x + shift`, channel by channel: a normalisation whose mean and variance are known.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// `out = relu(scale * x + shift)` for any number of pixels.
pub(super) struct Activate<'a> {
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
pub(super) enum Epilogue<'a> {
    /// Nothing.
    Keep,
    /// The spread of each channel is measured.
    Measure,
    /// The result is normalised, added to and rectified in place.
    Finish { affine: &'a Affine, add: Option<&'a [f32]>, rectify: bool },
}

/// Does so with the block that starts at `at` in the result.
pub(super) fn finish(epilogue: Epilogue, at: usize, block: &mut [f32], spread: &mut Spread) {
    match epilogue {
        Epilogue::Keep => {}
        Epilogue::Measure => dispatch(Measure { x: block, into: spread }),
        Epilogue::Finish { affine, add, rectify } => {
            let add = add.map(|add| &add[at..at + block.len()]);
            dispatch(Finish { x: block, affine, add, rectify });
        }
    }
}

/// The two sums of the backward pass of a normalisation, for each channel: of the gradient, and of the gradient times the
/// centred value.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub direct: Vec<f64>,
    pub with_x: Vec<f64>,
}

impl Sums {
    pub fn zeros(channels: usize) -> Self {
        Self { direct: vec![0.0; channels], with_x: vec![0.0; channels] }
    }

    /// Those of normalisations with the same number of channels.
    pub fn zeros_for(centres: &[Option<Centre>], channels: usize) -> Vec<Self> {
        vec![Self::zeros(channels); centres.len()]
    }

    /// The sums of all lanes, each with those of these normalisations.
    pub fn total(lanes: &[Vec<Self>], centres: &[Option<Centre>], channels: usize) -> Vec<Self> {
        let mut total = Self::zeros_for(centres, channels);
        for lane in lanes {
            total.iter_mut().zip(lane).for_each(|(total, sums)| total.add(sums));
        }
        total
    }

    /// Adds what later lanes have summed up.
    pub fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.direct, &other.direct);
        add(&mut self.with_x, &other.with_x);
    }

    /// Adds the sums of a line. However the lines are shared out, the sums are the same: they have twice the digits of what is
    /// added to them.
    fn add_line(&mut self, direct: &[f32], with_x: &[f32]) {
        let add = |to: &mut [f64], from: &[f32]| to.iter_mut().zip(from).for_each(|(to, from)| *to += f64::from(*from));
        add(&mut self.direct, direct);
        add(&mut self.with_x, with_x);
    }
}

/// What a normalisation by the batch was given, and its mean: the backward pass needs the gradient's sum with the centred
/// values.
#[derive(Clone, Copy)]
pub(super) struct Centre<'a> {
    pub x: &'a [f32],
    pub mean: &'a [f32],
}

impl<'a> Centre<'a> {
    /// That of a part of the values.
    pub fn part(self, range: Range<usize>) -> Self {
        Self { x: &self.x[range], mean: self.mean }
    }
}

/// Zeroes the gradient of a line where the activation `scale * x + shift` is not positive, and adds to the sums of what is
/// left.
pub(super) struct Mask<'a> {
    pub gradient: &'a mut [f32],
    pub affine: &'a Affine,
    pub centre: Centre<'a>,
    pub sums: &'a mut Sums,
}

impl Kernel for Mask<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (Affine { scale, shift }, Centre { x, mean }) = (self.affine, self.centre);
        let channels = scale.len().max(1);
        let (mut direct, mut with_x) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        for (gradient, x) in self.gradient.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let constants = scale.iter().zip(shift).zip(mean);
            let sums = direct.iter_mut().zip(&mut with_x);
            for (((g, x), ((scale, shift), mean)), (direct, with_x)) in
                gradient.iter_mut().zip(x).zip(constants).zip(sums)
            {
                let kept = if x * scale + shift <= 0.0 { 0.0 } else { *g };
                *g = kept;
                *direct += kept;
                *with_x += kept * (x - mean);
            }
        }
        self.sums.add_line(&direct, &with_x);
    }
}

/// Zeroes the gradient of a line where the result `y` of a ReLU is not positive, and adds to the sums of what is left.
pub(super) struct ThroughRelu<'a> {
    pub gradient: &'a mut [f32],
    pub y: &'a [f32],
    pub centre: Option<Centre<'a>>,
    pub sums: &'a mut Sums,
}

impl Kernel for ThroughRelu<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.sums.direct.len().max(1);
        let (mut direct, mut with_x) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        let pixels = self.gradient.chunks_exact_mut(channels).zip(self.y.chunks_exact(channels));
        match self.centre {
            Some(Centre { x, mean }) => {
                for ((gradient, y), x) in pixels.zip(x.chunks_exact(channels)) {
                    let sums = direct.iter_mut().zip(&mut with_x);
                    for ((((g, y), x), mean), (direct, with_x)) in gradient.iter_mut().zip(y).zip(x).zip(mean).zip(sums)
                    {
                        let kept = if *y <= 0.0 { 0.0 } else { *g };
                        *g = kept;
                        *direct += kept;
                        *with_x += kept * (x - mean);
                    }
                }
            }
            None => {
                for (gradient, y) in pixels {
                    for ((g, y), direct) in gradient.iter_mut().zip(y).zip(&mut direct) {
                        let kept = if *y <= 0.0 { 0.0 } else { *g };
                        *g = kept;
                        *direct += kept;
                    }
                }
            }
        }
        self.sums.add_line(&direct, &with_x);
    }
}

/// Adds the gradient of a line to the sums.
pub(super) struct Sum<'a> {
    pub gradient: &'a [f32],
    pub centre: Option<Centre<'a>>,
    pub sums: &'a mut Sums,
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.sums.direct.len().max(1);
        let (mut direct, mut with_x) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        let pixels = self.gradient.chunks_exact(channels);
        match self.centre {
            Some(Centre { x, mean }) => {
                for (gradient, x) in pixels.zip(x.chunks_exact(channels)) {
                    let sums = direct.iter_mut().zip(&mut with_x);
                    for (((gradient, x), mean), (direct, with_x)) in gradient.iter().zip(x).zip(mean).zip(sums) {
                        *direct += gradient;
                        *with_x += gradient * (x - mean);
                    }
                }
            }
            None => pixels.for_each(|pixel| direct.iter_mut().zip(pixel).for_each(|(sum, g)| *sum += g)),
        }
        self.sums.add_line(&direct, &with_x);
    }
}

/// The gradient of a row of weights behind a normalisation by stored values: `gradient` without the normalisation's `factor`
/// becomes that with it. `product` is its sum with the weights, which is also the sum of the convolution's results, each with
/// its gradient.
pub(super) struct OfRow<'a> {
    pub gradient: &'a mut [f32],
    pub weight: &'a [f32],
    pub factor: f32,
    pub product: &'a mut f64,
}

impl Kernel for OfRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        // So few at a time that what single precision loses of their sum does not count.
        const TOGETHER: usize = 256;
        for (gradient, weight) in self.gradient.chunks_mut(TOGETHER).zip(self.weight.chunks(TOGETHER)) {
            *self.product += f64::from(sum_of_pairs(gradient, weight, |gradient, weight| gradient * weight));
            gradient.iter_mut().for_each(|gradient| *gradient *= self.factor);
        }
    }
}

/// One line of the backward pass of a normalisation: `out = factor * (gradient - shift) - slope * (x - mean)`.
pub(super) struct Normalised<'a> {
    pub gradient: &'a [f32],
    pub x: &'a [f32],
    pub by: &'a Backward,
    pub out: &'a mut [f32],
}

/// The constants of the backward pass of a normalisation.
#[derive(Debug, Clone)]
pub(super) struct Backward {
    pub factor: Vec<f32>,
    pub shift: Vec<f32>,
    pub slope: Vec<f32>,
    pub mean: Vec<f32>,
}

impl Kernel for Normalised<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { factor, shift, slope, mean } = self.by;
        let channels = factor.len().max(1);
        let pixels = self.gradient.chunks_exact(channels).zip(self.x.chunks_exact(channels));
        for (out, (gradient, x)) in self.out.chunks_exact_mut(channels).zip(pixels) {
            for at in (0..channels).step_by(WIDE) {
                simd.prefetch(gradient.as_ptr().wrapping_add(at + AHEAD));
                simd.prefetch(x.as_ptr().wrapping_add(at + AHEAD));
            }
            let constants = factor.iter().zip(shift).zip(slope).zip(mean);
            for (((out, g), x), (((factor, shift), slope), mean)) in out.iter_mut().zip(gradient).zip(x).zip(constants)
            {
                *out = factor * (g - shift) - slope * (x - mean);
            }
        }
    }
}

/// Count, mean and summed squared differences from it, channel by channel.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    count: f64,
    pub mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    pub fn zeros(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// The spread of all values of which `parts` are the spreads, merged in their order.
    pub fn of(channels: usize, parts: &[Self]) -> Self {
        let mut spread = Self::zeros(channels);
        parts.iter().for_each(|part| spread.merge(part));
        spread
    }

    /// Takes further values in (Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample
    /// variances").
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let theirs = other.mean.iter().zip(&other.squares);
        for ((mean, squares), (their_mean, their_squares)) in self.mean.iter_mut().zip(&mut self.squares).zip(theirs) {
            let difference = their_mean - *mean;
            *mean += difference * other.count / count;
            *squares += their_squares + difference * difference * self.count * other.count / count;
        }
        self.count = count;
    }

    /// Mean squared difference from the mean.
    pub fn variances(&self) -> Vec<f64> {
        self.squares.iter().map(|squares| squares / self.count).collect()
    }
}

/// The spread of the pixels of a block, in two passes while it is in the cache.
struct Measure<'a> {
    x: &'a [f32],
    into: &'a mut Spread,
}

impl Kernel for Measure<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.into.mean.len().max(1);
        let count = (self.x.len() / channels) as f64;
        let mut sums = vec![0.0f32; channels];
        for x in self.x.chunks_exact(channels) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
        let mean: Vec<f32> = sums.iter().map(|sum| sum / count as f32).collect();
        let (mut rest, mut squares) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        for x in self.x.chunks_exact(channels) {
            for (((rest, square), x), mean) in rest.iter_mut().zip(&mut squares).zip(x).zip(&mean) {
                let difference = x - mean;
                *rest += difference;
                *square += difference * difference;
            }
        }
        // The mean was rounded: what is left of it is put right here.
        let exact = |(mean, rest): (&f32, &f32)| f64::from(*mean) + f64::from(*rest) / count;
        let left = |(square, rest): (&f32, &f32)| f64::from(*square) - f64::from(*rest).powi(2) / count;
        self.into.merge(&Spread {
            count,
            mean: mean.iter().zip(&rest).map(exact).collect(),
            squares: squares.iter().zip(&rest).map(left).collect(),
        });
    }
}

/// `relu(scale * x + shift + other)`, where the other is normalised too if it has an affine map of its own.
pub(super) fn add_and_rectify(x: &[f32], affine: &Affine, other: &[f32], other_affine: Option<&Affine>) -> Buffer {
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
