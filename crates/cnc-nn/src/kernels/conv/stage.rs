//! A convolution and the normalisation of its result, forward and backward.

use rayon::prelude::*;

use super::geometry::Conv;
use super::moments::Moments;
use super::norm::{Affine, Epilogue};
use super::norm_gradient::{Centre, NormGradient, OfRow, Sums};
use super::operands::{Incoming, InputGradient, Source, Weighting};
use super::passes;
use crate::kernels::buffers::Buffer;
use crate::kernels::simd::dispatch;

/// A convolution and where the normalisation of its result has mean and variance from.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub conv: Conv,
    /// Stored mean and variance; else those of the batch.
    pub stored: Option<[Vec<f32>; 2]>,
    /// Added to the variance.
    pub epsilon: f64,
}

/// The variables of a stage: weight, scale and shift.
pub(crate) type Variables<'a> = [&'a [f32]; 3];
/// Their gradients.
pub(crate) type Gradients = [Option<Vec<f32>>; 3];

/// A stage after its forward pass: what the backward pass needs.
pub(crate) struct Done {
    pub conv: Conv,
    /// What the next stage reads, `(batch, height', width', outputs)`: the convolution's result, or what has been made of it
    /// at once.
    pub x: Buffer,
    normalisation: Normalisation,
    /// Whether mean and variance are stored ones.
    stored: bool,
    /// Whether `x` is normalised and rectified.
    finished: bool,
}

/// What is done to the result of a stage.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// It stays as the convolution gives it, and is normalised where it is read.
    Keep,
    /// It is normalised, added to and rectified in place: possible with stored statistics.
    Finish { add: Option<&'a [f32]>, rectify: bool },
}

impl Done {
    /// Runs a stage. `moments` takes those of the batch, if it is normalised by them.
    pub fn run(
        stage: &Stage,
        [weight, scale, shift]: Variables,
        source: Source,
        then: Then,
        moments: &mut Vec<Moments>,
    ) -> Self {
        let Stage { conv, stored, epsilon } = stage;
        let known = stored.as_ref().map(|[mean, variance]| {
            let variances: Vec<f64> = variance.iter().copied().map(f64::from).collect();
            Normalisation::new(mean.clone(), &variances, scale, shift, *epsilon)
        });
        let epilogue = match (&known, then) {
            (None, _) => Epilogue::Measure,
            (Some(_), Then::Keep) => Epilogue::Keep,
            (Some(known), Then::Finish { add, rectify }) => Epilogue::Finish { affine: &known.affine, add, rectify },
        };
        let (x, measured) = passes::forward(*conv, source, weight, epilogue);
        let (stored, finished) = (known.is_some(), matches!(then, Then::Finish { .. }));
        let normalisation = known.unwrap_or_else(|| {
            let normalisation = Normalisation::new(measured.means(), &measured.variances(), scale, shift, *epsilon);
            moments.push(measured);
            normalisation
        });
        Self { conv: *conv, x, normalisation, stored, finished }
    }

    pub fn affine(&self) -> &Affine {
        &self.normalisation.affine
    }

    pub fn mean(&self) -> &[f32] {
        &self.normalisation.mean
    }

    /// What the next stage reads.
    pub fn activated(&self) -> Source<'_> {
        Source { values: &self.x, affine: (!self.finished).then(|| self.affine()) }
    }

    /// What the sums of the normalisation's backward pass need.
    pub fn centre(&self) -> Option<Centre<'_>> {
        (!self.finished).then(|| Centre { x: &self.x, mean: self.mean() })
    }

    /// The backward pass of the normalisation, and the gradient of its scale.
    fn normalised(&self, factor: Vec<f32>, sums: &Sums) -> (NormGradient, Vec<f32>) {
        let count = self.conv.out_pixels() as f64;
        let root = &self.normalisation.root;
        let of_scale: Vec<f64> = sums.with_x.iter().zip(root).map(|(sum, root)| sum * f64::from(*root)).collect();
        // Stored statistics do not change with what is normalised.
        let of_statistics = if self.stored { 0.0 } else { 1.0 };
        let slope = of_scale.iter().zip(&factor).zip(root);
        let by = NormGradient {
            shift: sums.direct.iter().map(|sum| (of_statistics * sum / count) as f32).collect(),
            slope: slope
                .map(|((of_scale, factor), root)| (of_statistics * of_scale / count) as f32 * factor * root)
                .collect(),
            mean: self.mean().to_vec(),
            factor,
        };
        (by, of_scale.iter().map(|sum| *sum as f32).collect())
    }

    /// The backward pass of the stage, `sums` being those of the `gradient` behind its normalisation: the gradients of its
    /// variables, where wanted, and the sums of what is behind the input.
    pub fn backward(
        &self,
        source: Source,
        gradient: &[f32],
        sums: &Sums,
        [weight, scale, _]: Variables,
        [of_weight, of_scale, of_shift]: [bool; 3],
        input: InputGradient,
    ) -> (Gradients, Vec<Sums>) {
        let root = &self.normalisation.root;
        let factor: Vec<f32> = scale.iter().zip(root).map(|(scale, root)| scale * root).collect();
        let (dweight, dscale, behind) = if self.finished {
            let incoming = Incoming { gradient, normalised: None };
            let weighting = Weighting { weight, factors: Some(&factor), wanted: of_weight || of_scale };
            let (mut dweight, behind) = passes::backward(self.conv, source, incoming, weighting, input);
            let dscale = dweight.as_mut().map(|dweight| {
                let products = with_factors(dweight, weight, &factor);
                let of_mean = sums.direct.iter().zip(self.mean()).map(|(sum, mean)| sum * f64::from(*mean));
                let sums = products.iter().zip(of_mean).map(|(product, of_mean)| product - of_mean);
                sums.zip(root).map(|(sum, root)| (sum * f64::from(*root)) as f32).collect()
            });
            (dweight, dscale, behind)
        } else {
            let (by, dscale) = self.normalised(factor, sums);
            let incoming = Incoming { gradient, normalised: Some((&self.x, &by)) };
            let weighting = Weighting { weight, factors: None, wanted: of_weight };
            let (dweight, behind) = passes::backward(self.conv, source, incoming, weighting, input);
            (dweight, Some(dscale), behind)
        };
        let dshift = of_shift.then(|| sums.direct.iter().map(|sum| *sum as f32).collect());
        ([dweight.filter(|_| of_weight), dscale.filter(|_| of_scale), dshift], behind)
    }
}

/// Multiplies the gradients of each output's weights by its factor, and returns what their sums with the weights were.
fn with_factors(gradient: &mut [f32], weight: &[f32], factors: &[f32]) -> Vec<f64> {
    let len = (weight.len() / factors.len().max(1)).max(1);
    let rows = gradient.par_chunks_mut(len).zip(weight.par_chunks(len)).zip(factors);
    let of_row = |((gradient, weight), factor): ((&mut [f32], &[f32]), &f32)| {
        let mut product = 0.0;
        dispatch(OfRow { gradient, weight, factor: *factor, product: &mut product });
        product
    };
    rows.map(of_row).collect()
}

struct Normalisation {
    affine: Affine,
    mean: Vec<f32>,
    root: Vec<f32>,
}

impl Normalisation {
    fn new(mean: Vec<f32>, variances: &[f64], scale: &[f32], shift: &[f32], epsilon: f64) -> Self {
        let root: Vec<f32> = variances.iter().map(|variance| (1.0 / (variance + epsilon).sqrt()) as f32).collect();
        let scale: Vec<f32> = scale.iter().zip(&root).map(|(scale, root)| scale * root).collect();
        let shift = shift.iter().zip(&mean).zip(&scale).map(|((shift, mean), scale)| shift - mean * scale).collect();
        Self { affine: Affine { scale, shift }, mean, root }
    }
}
