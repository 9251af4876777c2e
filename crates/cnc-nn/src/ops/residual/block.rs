//! A residual block as one op: which convolution reads what, and the backward pass in the opposite order.

use candle_core::{Result, Shape, Tensor};

use super::buffers::Buffer;
use super::geometry::Conv;
use super::maps::{Affine, Backward, Sums, add_and_rectify, through_relu};
use super::passes::{self, Epilogue, Incoming, InputGradient, Source, Weighting};
use super::{OP, Stage, Statistics};
use crate::ops::autograd::{self, Computed, differentiable, tracking};
use crate::ops::batch_norm::{Moments, inverse_root};
use crate::ops::gemm::Destination;
use crate::ops::storage::with_values;

/// A stage after its forward pass: what the backward pass needs.
pub(super) struct Done {
    pub conv: Conv,
    /// The convolution's result, `(batch, height', width', outputs)`.
    pub x: Buffer,
    /// Its normalisation.
    pub affine: Affine,
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`.
    root: Vec<f32>,
    /// Whether mean and variance are stored ones.
    stored: bool,
}

/// What is done to the result of a stage.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    /// It stays as the convolution gives it, and is normalised where it is read.
    Keep,
    /// It is normalised, added to and rectified in place: possible with stored statistics when nobody asks for gradients.
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
        let stored = known.is_some();
        let Normalisation { affine, mean, root } = match known {
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
        Ok(Self { conv, x, affine, mean, root, stored })
    }

    /// What the next stage reads.
    fn activated(&self) -> Source<'_> {
        Source { values: &self.x, affine: Some(&self.affine) }
    }

    /// The backward pass of the normalisation, and the gradients of its scale and shift.
    fn normalised(&self, scale: &[f32], sums: &Sums) -> (Backward, Vec<f32>, Vec<f32>) {
        let count = self.conv.out_pixels() as f64;
        let of_scale: Vec<f64> = sums.with_x.iter().zip(&self.root).map(|(sum, root)| sum * f64::from(*root)).collect();
        let factor: Vec<f32> = scale.iter().zip(&self.root).map(|(scale, root)| scale * root).collect();
        let slope = of_scale.iter().zip(&factor).zip(&self.root);
        let by = Backward {
            shift: sums.direct.iter().map(|sum| (sum / count) as f32).collect(),
            slope: slope.map(|((of_scale, factor), root)| (of_scale / count) as f32 * factor * root).collect(),
            mean: self.mean.clone(),
            stored: self.stored,
            factor,
        };
        (by, of_scale.iter().map(|sum| *sum as f32).collect(), sums.direct.iter().map(|sum| *sum as f32).collect())
    }

    /// The backward pass of the stage, `sums` being those of the `gradient` behind its normalisation: appends the gradients
    /// of weight, scale and shift, where wanted, and returns the sums of a masked input gradient.
    pub fn backward(
        &self,
        source: Source,
        gradient: &[f32],
        sums: &Sums,
        [weight, scale, shift]: [&Tensor; 3],
        input: InputGradient,
        gradients: &mut Vec<Option<Tensor>>,
    ) -> Result<Sums> {
        let (by, of_scale, of_shift) = self.normalised(&scale.to_vec1::<f32>()?, sums);
        let incoming = Incoming { gradient, x: &self.x, by: &by };
        let weight_values = weight.contiguous()?;
        let (of_weight, sums) = with_values([&weight_values], |[values]| {
            Ok(passes::backward(
                self.conv,
                source,
                incoming,
                Weighting { weight: values, wanted: weight.track_op() },
                input,
            ))
        })?;
        for (values, like) in [(of_weight, weight), (Some(of_scale), scale), (Some(of_shift), shift)] {
            let values = values.filter(|_| like.track_op());
            gradients.push(values.map(|values| Tensor::from_vec(values, like.shape(), like.device())).transpose()?);
        }
        Ok(sums)
    }
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
    let stages = || blocks.iter().flat_map(|block| block.branch.iter().chain(&block.shortcut));
    let mut arguments = vec![x.clone()];
    arguments.extend(stages().flat_map(|stage| [&stage.weight, &stage.scale, &stage.shift]).cloned());
    let recorded = tracking() && arguments.iter().any(Tensor::track_op);
    let stored = |stage: &Stage| matches!(stage.statistics, Statistics::Stored { .. });
    let (shape, mut moments) = (Shape::from(&shape[..]), Vec::new());
    if !recorded && stages().all(stored) {
        let y = with_values([x], |[values]| {
            let mut y: Option<Buffer> = None;
            for (block, sizes) in blocks.iter().zip(&sizes) {
                y = Some(finished(y.as_deref().unwrap_or(values), block, sizes)?);
            }
            Ok(y.unwrap_or_default())
        })?;
        return Ok((Tensor::from_vec(y.into_vec(), shape, x.device())?, moments));
    }
    let (y, chain) = with_values([x], |[values]| {
        let (mut done, mut results): (Vec<Block>, Vec<Buffer>) = (Vec::new(), Vec::new());
        for (block, sizes) in blocks.iter().zip(&sizes) {
            let (y, block) = Block::run(results.last().map_or(values, |y| y), block, sizes, &mut moments)?;
            done.push(block);
            results.push(y);
        }
        let y = results.pop().unwrap_or_default();
        Ok((y, Chain { blocks: done, results }))
    })?;
    Ok((differentiable(OP, Computed::Values(y.into_vec(), shape), arguments, chain)?, moments))
}

/// A block without anything kept.
fn finished(values: &[f32], block: &super::Block, sizes: &Sizes) -> Result<Buffer> {
    let nothing = &mut Vec::new();
    let image = Source { values, affine: None };
    let shortcut = match (sizes.shortcut, &block.shortcut) {
        (Some(conv), Some(stage)) => {
            let then = Then::Finish { add: None, rectify: false };
            Some(Done::run(conv, stage, image, then, nothing)?.x)
        }
        _ => None,
    };
    let mut y: Option<Buffer> = None;
    for (i, (conv, stage)) in sizes.branch.iter().zip(&block.branch).enumerate() {
        let add = (i + 1 == block.branch.len()).then(|| shortcut.as_deref().unwrap_or(values));
        let source = y.as_ref().map_or(image, |values| Source { values, affine: None });
        y = Some(Done::run(*conv, stage, source, Then::Finish { add, rectify: true }, nothing)?.x);
    }
    Ok(y.unwrap_or_default())
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
        with_values([&x_values, y, &gradient], |[values, y, gradient]| {
            let mut behind: Option<Buffer> = None;
            let mut by_block = Vec::new();
            for (i, block) in self.blocks.iter().enumerate().rev() {
                let (before, own) = variables.split_at(variables.len() - block.stages());
                variables = before;
                let y = self.results.get(i).map_or(y, |y| y);
                // Something in front of the block wants its gradient.
                let wanted = x.track_op() || before.iter().flatten().any(Tensor::track_op);
                let input = if i == 0 { values } else { &self.results[i - 1] };
                let (gradients, dx) = block.gradients(input, wanted, own, y, behind.as_deref().unwrap_or(gradient))?;
                by_block.push(gradients);
                behind = Some(dx);
                if !wanted {
                    by_block.push(vec![None; 3 * before.len()]);
                    break;
                }
            }
            let dx = behind.filter(|_| x.track_op()).map(|dx| Tensor::from_vec(dx.into_vec(), x.shape(), x.device()));
            Ok(std::iter::once(dx.transpose()?).chain(by_block.into_iter().rev().flatten()).collect())
        })
    }
}

/// A block after its forward pass.
struct Block {
    branch: Vec<Done>,
    shortcut: Option<Done>,
}

impl Block {
    fn run(values: &[f32], block: &super::Block, sizes: &Sizes, moments: &mut Vec<Moments>) -> Result<(Buffer, Self)> {
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
        let (other, other_affine) = shortcut.as_ref().map_or((values, None), |done| (&done.x[..], Some(&done.affine)));
        let y = add_and_rectify(&last.x, &last.affine, other, other_affine);
        Ok((y, Self { branch, shortcut }))
    }

    fn stages(&self) -> usize {
        self.branch.len() + usize::from(self.shortcut.is_some())
    }

    /// Gradients of the variables, and of the input `values` if that is wanted, for the `gradient` of the result `y`.
    fn gradients(
        &self,
        values: &[f32],
        wanted: bool,
        variables: &[[Tensor; 3]],
        y: &[f32],
        gradient: &[f32],
    ) -> Result<(Vec<Option<Tensor>>, Buffer)> {
        let image = Source { values, affine: None };
        let last = self.branch.len() - 1;
        let ends = self.branch.last().into_iter().chain(&self.shortcut);
        let ends: Vec<(&[f32], &[f32])> = ends.map(|done| (&done.x[..], &done.mean[..])).collect();
        // The gradient of both branches: that of the sum before the ReLU.
        let (common, sums) = through_relu(gradient, y, &ends);
        let mut by_stage: Vec<Vec<Option<Tensor>>> = Vec::new();
        // The gradient behind each stage's normalisation, from the last to the first.
        let (mut behind, mut sums_behind): (Option<Buffer>, Sums) = (None, sums[0].clone());
        for i in (1..=last).rev() {
            let (done, before) = (&self.branch[i], &self.branch[i - 1]);
            let mut next = Buffer::any(before.x.len());
            let input = InputGradient::Masked(&mut next, &before.mean);
            let gradient = behind.as_deref().unwrap_or(&common);
            let mut gradients = Vec::new();
            let variables = variables[i].each_ref();
            sums_behind =
                done.backward(before.activated(), gradient, &sums_behind, variables, input, &mut gradients)?;
            by_stage.push(gradients);
            behind = Some(next);
        }
        let mut of_shortcut = Vec::new();
        // Without a shortcut the gradient of the input starts as that of the sum.
        let mut dx = match &self.shortcut {
            None => common,
            Some(done) => {
                let mut dx = Buffer::any(if wanted { values.len() } else { 0 });
                let input =
                    if wanted { InputGradient::Into(&mut dx, Destination::Overwrite) } else { InputGradient::Unwanted };
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
        let input = if wanted { InputGradient::Into(&mut dx, Destination::Add) } else { InputGradient::Unwanted };
        let variables = variables[0].each_ref();
        self.branch[0].backward(image, &first_gradient, &sums_behind, variables, input, &mut gradients)?;
        by_stage.push(gradients);
        Ok((by_stage.into_iter().rev().flatten().chain(of_shortcut).collect(), dx))
    }
}
