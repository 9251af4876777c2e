//! Residual blocks: which convolution reads what, and the backward pass in the opposite order.

use super::moments::Moments;
use super::norm::{Affine, add_and_rectify};
use super::norm_gradient::{Centre, Sums};
use super::operands::{InputGradient, Source, through_relu};
use super::stage::{Done, Gradients, Stage, Then, Variables};
use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::parallel::on_a_worker;

/// A residual block, `relu(branch(x) + shortcut(x))`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// One at least; they follow each other with a ReLU between.
    pub branch: Vec<Stage>,
    /// Without one, `x` itself is added.
    pub shortcut: Option<Stage>,
}

impl Block {
    /// Its stages, in the order that their variables come in.
    fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.branch.iter().chain(&self.shortcut)
    }
}

/// Blocks one after the other.
pub(crate) struct Blocks(pub Vec<Block>);

/// What the backward pass of blocks needs.
pub(crate) struct Chain {
    blocks: Vec<DoneBlock>,
    /// Results of all blocks but the last.
    results: Vec<Buffer>,
}

impl Blocks {
    /// The result and the moments of each stage that is normalised by its batch; `variables` are those of all stages, `chain`
    /// whether a backward pass follows.
    pub fn forward(&self, x: &[f32], variables: &[Variables], chain: bool) -> (Vec<f32>, Vec<Moments>, Option<Chain>) {
        on_a_worker(|| {
            let (mut moments, mut rest) = (Vec::new(), variables);
            let (mut done, mut results): (Vec<DoneBlock>, Vec<Buffer>) = (Vec::new(), Vec::new());
            for block in &self.0 {
                let (own, others) = rest.split_at(block.stages().count());
                rest = others;
                let input = results.last().map_or(x, |y| y);
                let (y, block) = DoneBlock::run(input, block, own, &mut moments);
                if chain {
                    done.push(block);
                } else {
                    results.clear();
                }
                results.push(y);
            }
            let y = results.pop().unwrap_or_default();
            (y.into_vec(), moments, chain.then_some(Chain { blocks: done, results }))
        })
    }
}

impl Chain {
    /// The gradients of `x`, if `wanted`, and of the variables that are, for `dy`, that of the result `y`.
    pub fn backward(
        &self,
        x: &[f32],
        variables: &[Variables],
        [y, dy]: [&[f32]; 2],
        wanted: bool,
        wanted_variables: &[[bool; 3]],
    ) -> (Option<Vec<f32>>, Vec<Gradients>) {
        on_a_worker(|| {
            let Some(last) = self.blocks.last() else { return (wanted.then(|| dy.to_vec()), Vec::new()) };
            let mut behind = last.through_relu(dy, y);
            let (mut before, mut by_block) = (variables.len(), Vec::new());
            for (i, block) in self.blocks.iter().enumerate().rev() {
                let own = before - block.stages()..before;
                before = own.start;
                // Something in front of the block wants its gradient.
                let wanted = wanted || wanted_variables[..before].iter().flatten().any(|wanted| *wanted);
                let (input, centres) = match i.checked_sub(1) {
                    None => (x, Vec::new()),
                    Some(before) => (&self.results[before][..], self.blocks[before].centres()),
                };
                let of_own = (&variables[own.clone()], &wanted_variables[own]);
                let (gradients, next) = block.gradients(input, &centres, wanted, of_own, behind);
                by_block.push(gradients);
                behind = next;
                if !wanted {
                    by_block.push(vec![Gradients::default(); before]);
                    break;
                }
            }
            (wanted.then(|| behind.0.into_vec()), by_block.into_iter().rev().flatten().collect())
        })
    }
}

fn copy(values: &[f32]) -> Buffer {
    let mut buffer = Buffer::any(values.len());
    buffer.copy_from_slice(values);
    buffer
}

/// A block after its forward pass.
struct DoneBlock {
    branch: Vec<Done>,
    shortcut: Option<Done>,
}

/// The gradient in front of a block's last ReLU, and its sums for each of the normalisations that end there.
type Behind = (Buffer, Vec<Sums>);

impl DoneBlock {
    fn run(x: &[f32], block: &Block, variables: &[Variables], moments: &mut Vec<Moments>) -> (Buffer, Self) {
        if block.stages().all(|stage| stage.stored.is_some()) {
            Self::run_stored(x, block, variables)
        } else {
            Self::run_measured(x, block, variables, moments)
        }
    }

    /// With statistics that are measured first: what convolutions give is kept, and normalised where it is read.
    fn run_measured(x: &[f32], block: &Block, variables: &[Variables], moments: &mut Vec<Moments>) -> (Buffer, Self) {
        let image = Source { values: x, affine: None };
        let mut branch: Vec<Done> = Vec::new();
        for (stage, variables) in block.branch.iter().zip(variables) {
            let source = branch.last().map_or(image, Done::activated);
            let next = Done::run(stage, *variables, source, Then::Keep, moments);
            branch.push(next);
        }
        let of_shortcut = block.shortcut.as_ref().zip(variables.get(block.branch.len()));
        let shortcut = of_shortcut.map(|(stage, variables)| Done::run(stage, *variables, image, Then::Keep, moments));
        let last = &branch[branch.len() - 1];
        let (other, other_affine): (&[f32], Option<&Affine>) = match &shortcut {
            Some(done) => (&done.x, Some(done.affine())),
            None => (x, None),
        };
        let y = add_and_rectify(&last.x, last.affine(), other, other_affine);
        (y, Self { branch, shortcut })
    }

    /// With stored statistics: what convolutions give is normalised and rectified at once, and only that is kept.
    fn run_stored(x: &[f32], block: &Block, variables: &[Variables]) -> (Buffer, Self) {
        let (image, nothing) = (Source { values: x, affine: None }, &mut Vec::new());
        let of_shortcut = block.shortcut.as_ref().zip(variables.get(block.branch.len()));
        let mut shortcut = of_shortcut.map(|(stage, variables)| {
            Done::run(stage, *variables, image, Then::Finish { add: None, rectify: false }, nothing)
        });
        let mut branch: Vec<Done> = Vec::new();
        for (i, (stage, variables)) in block.branch.iter().zip(variables).enumerate() {
            let is_last = i + 1 == block.branch.len();
            let add = is_last.then(|| shortcut.as_ref().map_or(x, |done| &done.x));
            let source = branch.last().map_or(image, Done::activated);
            let next = Done::run(stage, *variables, source, Then::Finish { add, rectify: true }, nothing);
            branch.push(next);
        }
        let y = branch.last_mut().map(|last| std::mem::take(&mut last.x)).unwrap_or_default();
        if let Some(shortcut) = &mut shortcut {
            shortcut.x = Buffer::default();
        }
        (y, Self { branch, shortcut })
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
        through_relu(gradient, y, [width, channels], &self.centres())
    }

    /// Gradients of the variables for the gradient in front of the last ReLU. If that of the input `values` is wanted, which
    /// comes from a ReLU with these normalisations in front of it if there are any, also what is in front of that.
    fn gradients(
        &self,
        values: &[f32],
        centres: &[Option<Centre>],
        wanted: bool,
        (variables, wanted_variables): (&[Variables], &[[bool; 3]]),
        (common, sums): Behind,
    ) -> (Vec<Gradients>, Behind) {
        let image = Source { values, affine: None };
        let last = self.branch.len() - 1;
        let mut by_stage: Vec<Gradients> = Vec::new();
        // The gradient behind each stage's normalisation, from the last to the first.
        let (mut behind, mut sums_behind): (Option<Buffer>, Vec<Sums>) = (None, sums.clone());
        for i in (1..=last).rev() {
            let (done, before) = (&self.branch[i], &self.branch[i - 1]);
            let mut next = Buffer::any(before.x.len());
            let destination = Destination::Overwrite;
            let input = InputGradient::Wanted { dx: &mut next, destination, behind: &[before.centre()] };
            let gradient = behind.as_deref().unwrap_or(&common);
            let (source, of_variables) = (before.activated(), wanted_variables[i]);
            let (gradients, sums) = done.backward(source, gradient, &sums_behind[0], variables[i], of_variables, input);
            by_stage.push(gradients);
            (behind, sums_behind) = (Some(next), sums);
        }
        let mut of_shortcut = None;
        // Without a shortcut the gradient of the input starts as that of the sum.
        let mut dx = match &self.shortcut {
            None => common,
            Some(done) => {
                let mut dx = Buffer::any(if wanted { values.len() } else { 0 });
                let input = InputGradient::wanted_if(wanted, &mut dx, Destination::Overwrite, &[]);
                let (variables, of_variables) = (variables[last + 1], wanted_variables[last + 1]);
                of_shortcut = Some(done.backward(image, &common, &sums[1], variables, of_variables, input).0);
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
        let input = InputGradient::wanted_if(wanted, &mut dx, Destination::Add, centres);
        let (gradients, sums) =
            self.branch[0].backward(image, &first_gradient, &sums_behind[0], variables[0], wanted_variables[0], input);
        by_stage.push(gradients);
        (by_stage.into_iter().rev().chain(of_shortcut).collect(), (dx, sums))
    }
}
