//! A residual block as one op: which convolution reads what, and the backward pass in the opposite order.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::buffers::Buffer;
use super::geometry::Conv;
use super::maps::{Affine, Backward, Centre, OfRow, Sums, add_and_rectify};
use super::passes::{self, Epilogue, Incoming, InputGradient, Source, Weighting};
use super::{OP, Stage, Statistics};
use crate::ops::autograd::{self, Computed, differentiable, tracking};
use crate::ops::batch_norm::{Moments, inverse_root};
use crate::ops::blocks::on_a_worker;
use crate::ops::gemm::Destination;
use crate::ops::simd::dispatch;
use crate::ops::storage::with_values;

/// A stage after its forward pass: what the backward pass needs.
pub(super) struct Done {
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
pub(super) enum Then<'a> {
    /// It stays as the convolution gives it, and is normalised where it is read.
    Keep,
    /// It is normalised, added to and rectified in place: possible with stored statistics.
    Finish { add: Option<&'a [f32]>, rectify: bool },
}

impl Done {
    /// Runs a stage. `moments` takes the statistics of the batch, if it is normalised by those.
    pub fn run(conv: Conv, stage: &Stage, source: Source, then: Then, moments: &mut Vec<Moments>) -> Result<Self> {
        let (scale, shift) = (stage.scale.to_vec1::<f32>()?, stage.shift.to_vec1::<f32>()?);
        let weight = stage.weight.contiguous()?;
        let known = match &stage.statistics {
            Statistics::Batch => None,
            Statistics::Stored { mean, variance } => {
                let variances = variance.to_vec1::<f32>()?.into_iter().map(f64::from).collect::<Vec<_>>();
                Some(Normalisation::new(mean.to_vec1()?, &variances, &scale, &shift, stage.epsilon))
            }
        };
        let epilogue = match (&known, then) {
            (None, _) => Epilogue::Measure,
            (Some(_), Then::Keep) => Epilogue::Keep,
            (Some(known), Then::Finish { add, rectify }) => Epilogue::Finish { affine: &known.affine, add, rectify },
        };
        let (x, spread) = with_values([&weight], |[weight]| Ok(passes::forward(conv, source, weight, epilogue)))?;
        let (stored, finished) = (known.is_some(), matches!(then, Then::Finish { .. }));
        let normalisation = match known {
            Some(known) => known,
            None => {
                let variances = spread.variances();
                let means: Vec<f32> = spread.mean.iter().map(|mean| *mean as f32).collect();
                let tensor = |values: Vec<f32>| Tensor::from_vec(values, conv.outputs, weight.device());
                moments.push(Moments {
                    mean: tensor(means.clone())?,
                    variance: tensor(variances.iter().map(|variance| *variance as f32).collect())?,
                    count: conv.out_pixels(),
                });
                Normalisation::new(means, &variances, &scale, &shift, stage.epsilon)
            }
        };
        Ok(Self { conv, x, normalisation, stored, finished })
    }

    pub fn affine(&self) -> &Affine {
        &self.normalisation.affine
    }

    pub fn mean(&self) -> &[f32] {
        &self.normalisation.mean
    }

    /// What the next stage reads.
    fn activated(&self) -> Source<'_> {
        Source { values: &self.x, affine: (!self.finished).then(|| self.affine()) }
    }

    /// What the sums of the normalisation's backward pass need.
    fn centre(&self) -> Option<Centre<'_>> {
        (!self.finished).then(|| Centre { x: &self.x, mean: self.mean() })
    }

    /// The backward pass of the normalisation, and the gradient of its scale.
    fn normalised(&self, factor: Vec<f32>, sums: &Sums) -> (Backward, Vec<f32>) {
        let count = self.conv.out_pixels() as f64;
        let root = &self.normalisation.root;
        let of_scale: Vec<f64> = sums.with_x.iter().zip(root).map(|(sum, root)| sum * f64::from(*root)).collect();
        // Stored statistics do not change with what is normalised.
        let of_statistics = if self.stored { 0.0 } else { 1.0 };
        let slope = of_scale.iter().zip(&factor).zip(root);
        let by = Backward {
            shift: sums.direct.iter().map(|sum| (of_statistics * sum / count) as f32).collect(),
            slope: slope
                .map(|((of_scale, factor), root)| (of_statistics * of_scale / count) as f32 * factor * root)
                .collect(),
            mean: self.mean().to_vec(),
            factor,
        };
        (by, of_scale.iter().map(|sum| *sum as f32).collect())
    }

    /// The backward pass of the stage, `sums` being those of the `gradient` behind its normalisation: appends the gradients
    /// of weight, scale and shift, where wanted, and returns the sums of what is behind the input.
    pub fn backward(
        &self,
        source: Source,
        gradient: &[f32],
        sums: &Sums,
        [weight, scale, shift]: [&Tensor; 3],
        input: InputGradient,
        gradients: &mut Vec<Option<Tensor>>,
    ) -> Result<Vec<Sums>> {
        let root = &self.normalisation.root;
        let factor: Vec<f32> = scale.to_vec1::<f32>()?.iter().zip(root).map(|(scale, root)| scale * root).collect();
        let weight_values = weight.contiguous()?;
        let (of_weight, of_scale, behind) = with_values([&weight_values], |[values]| {
            if !self.finished {
                let (by, of_scale) = self.normalised(factor, sums);
                let incoming = Incoming { gradient, normalised: Some((&self.x, &by)) };
                let weighting = Weighting { weight: values, factors: None, wanted: weight.track_op() };
                let (of_weight, behind) = passes::backward(self.conv, source, incoming, weighting, input);
                return Ok((of_weight, Some(of_scale), behind));
            }
            let incoming = Incoming { gradient, normalised: None };
            let wanted = weight.track_op() || scale.track_op();
            let weighting = Weighting { weight: values, factors: Some(&factor), wanted };
            let (mut of_weight, behind) = passes::backward(self.conv, source, incoming, weighting, input);
            let of_scale = of_weight.as_mut().map(|of_weight| {
                let products = with_factors(of_weight, values, &factor);
                let of_mean = sums.direct.iter().zip(self.mean()).map(|(sum, mean)| sum * f64::from(*mean));
                let sums = products.iter().zip(of_mean).map(|(product, of_mean)| product - of_mean);
                sums.zip(root).map(|(sum, root)| (sum * f64::from(*root)) as f32).collect()
            });
            Ok((of_weight, of_scale, behind))
        })?;
        let of_shift: Vec<f32> = sums.direct.iter().map(|sum| *sum as f32).collect();
        for (values, like) in [(of_weight, weight), (of_scale, scale), (Some(of_shift), shift)] {
            let values = values.filter(|_| like.track_op());
            gradients.push(values.map(|values| Tensor::from_vec(values, like.shape(), like.device())).transpose()?);
        }
        Ok(behind)
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
        let root: Vec<f32> = variances.iter().map(|variance| inverse_root(*variance, epsilon)).collect();
        let scale: Vec<f32> = scale.iter().zip(&root).map(|(scale, root)| scale * root).collect();
        let shift = shift.iter().zip(&mean).zip(&scale).map(|((shift, mean), scale)| shift - mean * scale).collect();
        Self { affine: Affine { scale, shift }, mean, root }
    }
}

/// A block whose sizes have been checked.
pub(super) struct Sizes {
    pub branch: Vec<Conv>,
    pub shortcut: Option<Conv>,
}

/// Blocks on contiguous `f32` feature maps on the CPU, with a result of the given shape.
pub(super) fn residual(
    x: &Tensor,
    blocks: &[super::Block],
    sizes: Vec<Sizes>,
    shape: [usize; 4],
) -> Result<(Tensor, Vec<Moments>)> {
    let mut arguments = vec![x.clone()];
    let stages = blocks.iter().flat_map(|block| block.branch.iter().chain(&block.shortcut));
    arguments.extend(stages.flat_map(|stage| [&stage.weight, &stage.scale, &stage.shift]).cloned());
    let recorded = tracking() && arguments.iter().any(Tensor::track_op);
    let (shape, mut moments) = (Shape::from(&shape[..]), Vec::new());
    if !recorded {
        let mut run = |values: &[f32]| {
            let mut y: Option<Buffer> = None;
            for (block, sizes) in blocks.iter().zip(&sizes) {
                y = Some(Block::run(y.as_deref().unwrap_or(values), block, sizes, &mut moments)?.0);
            }
            Ok(y.unwrap_or_default())
        };
        let y = on_a_worker(|| with_values([x], |[values]| run(values)))?;
        return Ok((Tensor::from_vec(y.into_vec(), shape, x.device())?, moments));
    }
    let mut run = |values: &[f32]| {
        let (mut done, mut results): (Vec<Block>, Vec<Buffer>) = (Vec::new(), Vec::new());
        for (block, sizes) in blocks.iter().zip(&sizes) {
            let (y, block) = Block::run(results.last().map_or(values, |y| y), block, sizes, &mut moments)?;
            done.push(block);
            results.push(y);
        }
        let y = results.pop().unwrap_or_default();
        Ok((y, Chain { blocks: done, results }))
    };
    let (y, chain) = on_a_worker(|| with_values([x], |[values]| run(values)))?;
    Ok((differentiable(OP, Computed::Values(y.into_vec(), shape), arguments, chain)?, moments))
}

fn copy(values: &[f32]) -> Buffer {
    let mut buffer = Buffer::any(values.len());
    buffer.copy_from_slice(values);
    buffer
}

/// What the backward pass of blocks needs.
struct Chain {
    blocks: Vec<Block>,
    /// Results of all blocks but the last.
    results: Vec<Buffer>,
}

impl autograd::Backward for Chain {
    /// `arguments`: `x`, then weight, scale and shift of each stage.
    fn backward(&self, arguments: &[Tensor], y: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Some((x, variables)) = arguments.split_first() else { candle_core::bail!("{OP}: no arguments") };
        let (mut variables, _) = variables.as_chunks::<3>();
        let (gradient, x_values) = (gradient.contiguous()?, x.contiguous()?);
        let run = |[values, y, gradient]: [&[f32]; 3]| {
            let Some(last) = self.blocks.last() else { candle_core::bail!("{OP}: no blocks") };
            let mut behind = last.through_relu(gradient, y);
            let mut by_block = Vec::new();
            for (i, block) in self.blocks.iter().enumerate().rev() {
                let (before, own) = variables.split_at(variables.len() - block.stages());
                variables = before;
                // Something in front of the block wants its gradient.
                let wanted = x.track_op() || before.iter().flatten().any(Tensor::track_op);
                let (input, centres) = match i.checked_sub(1) {
                    None => (values, Vec::new()),
                    Some(before) => (&self.results[before][..], self.blocks[before].centres()),
                };
                let (gradients, next) = block.gradients(input, &centres, wanted, own, behind)?;
                by_block.push(gradients);
                behind = next;
                if !wanted {
                    by_block.push(vec![None; 3 * before.len()]);
                    break;
                }
            }
            let dx = x.track_op().then(|| Tensor::from_vec(behind.0.into_vec(), x.shape(), x.device()));
            Ok(std::iter::once(dx.transpose()?).chain(by_block.into_iter().rev().flatten()).collect())
        };
        on_a_worker(|| with_values([&x_values, y, &gradient], run))
    }
}

/// A block after its forward pass.
struct Block {
    branch: Vec<Done>,
    shortcut: Option<Done>,
}

/// The gradient in front of a block's last ReLU, and its sums for each of the normalisations that end there.
type Behind = (Buffer, Vec<Sums>);

impl Block {
    fn run(values: &[f32], block: &super::Block, sizes: &Sizes, moments: &mut Vec<Moments>) -> Result<(Buffer, Self)> {
        let mut stages = block.branch.iter().chain(&block.shortcut);
        if stages.all(|stage| matches!(stage.statistics, Statistics::Stored { .. })) {
            Self::run_stored(values, block, sizes)
        } else {
            Self::run_measured(values, block, sizes, moments)
        }
    }

    /// With statistics that are measured first: what convolutions give is kept, and normalised where it is read.
    fn run_measured(
        values: &[f32],
        block: &super::Block,
        sizes: &Sizes,
        moments: &mut Vec<Moments>,
    ) -> Result<(Buffer, Self)> {
        let image = Source { values, affine: None };
        let mut branch: Vec<Done> = Vec::new();
        for (conv, stage) in sizes.branch.iter().zip(&block.branch) {
            let source = branch.last().map_or(image, Done::activated);
            let next = Done::run(*conv, stage, source, Then::Keep, moments)?;
            branch.push(next);
        }
        let shortcut = match (sizes.shortcut, &block.shortcut) {
            (Some(conv), Some(stage)) => Some(Done::run(conv, stage, image, Then::Keep, moments)?),
            _ => None,
        };
        let Some(last) = branch.last() else { candle_core::bail!("{OP}: a branch without stages") };
        let (other, other_affine) = shortcut.as_ref().map_or((values, None), |done| (&done.x[..], Some(done.affine())));
        let y = add_and_rectify(&last.x, last.affine(), other, other_affine);
        Ok((y, Self { branch, shortcut }))
    }

    /// With stored statistics: what convolutions give is normalised and rectified at once, and only that is kept.
    fn run_stored(values: &[f32], block: &super::Block, sizes: &Sizes) -> Result<(Buffer, Self)> {
        let (image, nothing) = (Source { values, affine: None }, &mut Vec::new());
        let mut shortcut = match (sizes.shortcut, &block.shortcut) {
            (Some(conv), Some(stage)) => {
                Some(Done::run(conv, stage, image, Then::Finish { add: None, rectify: false }, nothing)?)
            }
            _ => None,
        };
        let mut branch: Vec<Done> = Vec::new();
        for (i, (conv, stage)) in sizes.branch.iter().zip(&block.branch).enumerate() {
            let is_last = i + 1 == block.branch.len();
            let add = is_last.then(|| shortcut.as_ref().map_or(values, |done| &done.x));
            let source = branch.last().map_or(image, Done::activated);
            let next = Done::run(*conv, stage, source, Then::Finish { add, rectify: true }, nothing)?;
            branch.push(next);
        }
        let y = branch.last_mut().map(|last| std::mem::take(&mut last.x)).unwrap_or_default();
        if let Some(shortcut) = &mut shortcut {
            shortcut.x = Buffer::default();
        }
        Ok((y, Self { branch, shortcut }))
    }

    fn stages(&self) -> usize {
        self.branch.len() + usize::from(self.shortcut.is_some())
    }

    /// The normalisations that end in front of the block's last ReLU, as [`Source::back_through_relu`] takes them.
    fn centres(&self) -> Vec<Option<Centre<'_>>> {
        self.branch.last().into_iter().chain(&self.shortcut).map(Done::centre).collect()
    }

    /// The way back through the block's last ReLU, whose result is `y`.
    fn through_relu(&self, gradient: &[f32], y: &[f32]) -> Behind {
        let conv = self.branch.last().map(|done| done.conv);
        let (width, channels) = conv.map_or((1, 1), |conv| (conv.out_width(), conv.outputs));
        passes::through_relu(gradient, y, [width, channels], &self.centres())
    }

    /// Gradients of the variables for the gradient in front of the last ReLU. If that of the input `values` is wanted, which
    /// comes from a ReLU with these normalisations in front of it if there are any, also what is in front of that.
    fn gradients(
        &self,
        values: &[f32],
        centres: &[Option<Centre>],
        wanted: bool,
        variables: &[[Tensor; 3]],
        (common, sums): Behind,
    ) -> Result<(Vec<Option<Tensor>>, Behind)> {
        let image = Source { values, affine: None };
        let last = self.branch.len() - 1;
        let mut by_stage: Vec<Vec<Option<Tensor>>> = Vec::new();
        // The gradient behind each stage's normalisation, from the last to the first.
        let (mut behind, mut sums_behind): (Option<Buffer>, Vec<Sums>) = (None, sums.clone());
        for i in (1..=last).rev() {
            let (done, before) = (&self.branch[i], &self.branch[i - 1]);
            let mut next = Buffer::any(before.x.len());
            let destination = Destination::Overwrite;
            let input = InputGradient::Wanted { dx: &mut next, destination, behind: &[before.centre()] };
            let gradient = behind.as_deref().unwrap_or(&common);
            let mut gradients = Vec::new();
            let variables = variables[i].each_ref();
            sums_behind =
                done.backward(before.activated(), gradient, &sums_behind[0], variables, input, &mut gradients)?;
            by_stage.push(gradients);
            behind = Some(next);
        }
        let mut of_shortcut = Vec::new();
        // Without a shortcut the gradient of the input starts as that of the sum.
        let mut dx = match &self.shortcut {
            None => common,
            Some(done) => {
                let mut dx = Buffer::any(if wanted { values.len() } else { 0 });
                let destination = Destination::Overwrite;
                let input = InputGradient::wanted_if(wanted, &mut dx, destination, &[]);
                done.backward(image, &common, &sums[1], variables[last + 1].each_ref(), input, &mut of_shortcut)?;
                if behind.is_none() {
                    behind = Some(common)
                }
                dx
            }
        };
        // A block of a single stage reads the gradient that it adds to.
        let first_gradient = match behind {
            Some(behind) => behind,
            None => copy(&dx),
        };
        let mut gradients = Vec::new();
        let input = InputGradient::wanted_if(wanted, &mut dx, Destination::Add, centres);
        let variables = variables[0].each_ref();
        let sums =
            self.branch[0].backward(image, &first_gradient, &sums_behind[0], variables, input, &mut gradients)?;
        by_stage.push(gradients);
        Ok((by_stage.into_iter().rev().flatten().chain(of_shortcut).collect(), (dx, sums)))
    }
}
