//! The three gradients of a convolution, made by blocks of samples.

use rayon::prelude::*;

use crate::kernels::parallel::{samples_per_block, sum_in_order};

/// Which gradients somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub input: bool,
    pub weight: bool,
    pub bias: bool,
}

/// How a batch is cut into blocks, each of which adds up a weight and a bias gradient of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    batch: usize,
    /// Samples in a block.
    samples: usize,
    /// Values of one sample of the input.
    input_len: usize,
}

/// What one block adds to the gradients of weight and bias; empty where not wanted.
pub(crate) struct Partial {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// Gradients, where wanted.
pub(crate) struct Gradients {
    pub input: Option<Vec<f32>>,
    pub weight: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
}

impl Blocks {
    /// Blocks of a batch whose samples have `input_len` values, for a weight gradient of `weight_len` values.
    pub fn new(batch: usize, input_len: usize, weight_len: usize) -> Self {
        Self { batch, samples: samples_per_block(batch, weight_len), input_len }
    }

    /// Runs `block(samples, dx)` for each block side by side, where `dx` is the zeroed input gradient of these samples
    /// (empty if not wanted), and adds up what they return from the first to the last.
    pub fn add_up(
        self,
        wanted: Wanted,
        block: impl Fn(std::ops::Range<usize>, &mut [f32]) -> Partial + Sync + Send,
    ) -> Gradients {
        let range = |i: usize| i * self.samples..((i + 1) * self.samples).min(self.batch);
        let blocks = self.batch.div_ceil(self.samples);
        let (dx, partials): (_, Vec<Partial>) = if wanted.input {
            let mut dx = vec![0.0; self.batch * self.input_len];
            let chunks = dx.par_chunks_mut((self.samples * self.input_len).max(1)).enumerate();
            let partials = chunks.map(|(i, dx)| block(range(i), dx)).collect();
            (Some(dx), partials)
        } else {
            (None, (0..blocks).into_par_iter().map(|i| block(range(i), &mut [])).collect())
        };
        let (weights, biases): (Vec<_>, Vec<_>) =
            partials.into_iter().map(|partial| (partial.weight, partial.bias)).unzip();
        Gradients {
            input: dx,
            weight: wanted.weight.then(|| sum_in_order(weights)),
            bias: wanted.bias.then(|| sum_in_order(biases)),
        }
    }
}
