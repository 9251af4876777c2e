//! Batch norm and ReLU pixel by pixel, backward.

use std::ops::Range;

use super::norm::Affine;
use crate::kernels::simd::{Kernel, Simd, WIDE, sum_of_pairs};

/// Values that the processor is asked for ahead of those that are read.
const AHEAD: usize = 512;

/// The two sums of the backward pass of a normalisation, for each channel: of the gradient, and of the gradient times the
/// centred value.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
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

    /// The sums of all slabs, each with those of these normalisations.
    pub fn total(slabs: &[Vec<Self>], centres: &[Option<Centre>], channels: usize) -> Vec<Self> {
        let mut total = Self::zeros_for(centres, channels);
        for slab in slabs {
            total.iter_mut().zip(slab).for_each(|(total, sums)| total.add(sums));
        }
        total
    }

    /// Adds what later slabs have summed up.
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
pub(crate) struct Centre<'a> {
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
pub(crate) struct ThroughActivation<'a> {
    pub gradient: &'a mut [f32],
    pub affine: &'a Affine,
    pub centre: Centre<'a>,
    pub sums: &'a mut Sums,
}

impl Kernel for ThroughActivation<'_> {
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
pub(crate) struct ThroughRelu<'a> {
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
pub(crate) struct Sum<'a> {
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
pub(crate) struct OfRow<'a> {
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
pub(crate) struct Normalised<'a> {
    pub gradient: &'a [f32],
    pub x: &'a [f32],
    pub by: &'a NormGradient,
    pub out: &'a mut [f32],
}

/// The constants of the backward pass of a normalisation.
#[derive(Debug, Clone)]
pub(crate) struct NormGradient {
    pub factor: Vec<f32>,
    pub shift: Vec<f32>,
    pub slope: Vec<f32>,
    pub mean: Vec<f32>,
}

impl Kernel for Normalised<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let NormGradient { factor, shift, slope, mean } = self.by;
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
