//! Convolution, ReLU and max pooling in one pass: what is between them never leaves the first-level cache, and the backward
//! pass looks only at the one value in each window that has a gradient.

mod backward;
mod forward;
mod partial;
mod size;
mod windows;

use rayon::prelude::*;

use self::backward::{BackwardPass, pad_rows, padded_len, unpad_rows};
use self::forward::{ForwardPass, Weights};
use self::partial::{Blocks, Partial, Wanted};
use super::parallel::samples_per_block;
use super::simd::{LANES, dispatch};
pub(crate) use size::Size;

/// Largest pool: places in a window are below [`size::DEAD`].
const LARGEST_POOL: usize = 15;

impl Size {
    /// Whether the kernel is for these sizes: a row of a patch is one vector, and a place in a window one byte.
    pub fn suits(self) -> bool {
        self.pool <= LARGEST_POOL && self.kernel_width <= LANES && self.input_len() > 0
    }

    /// The result `(batch, out, pooled height, pooled width)`, and the place of the largest value in each window.
    pub fn forward(self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Vec<u8>) {
        let size = self;
        let weights = Weights::new(size, weight);
        let mut y = vec![0.0; size.batch * size.output_len()];
        let mut winners = vec![0; y.len()];
        let samples = samples_per_block(size.batch, 0);
        let (x_len, y_len) = (samples * size.input_len(), (samples * size.output_len()).max(1));
        let blocks = y.par_chunks_mut(y_len).zip(winners.par_chunks_mut(y_len)).zip(x.par_chunks(x_len));
        blocks.for_each(|((y, winners), x)| dispatch(ForwardPass { size, weights: &weights, bias, x, y, winners }));
        (y, winners)
    }

    /// The gradients of `x`, weight and bias for `dy`, that of the result.
    pub fn backward(
        self,
        winners: &[u8],
        [x, weight, _]: [&[f32]; 3],
        dy: &[f32],
        [input, of_weight, of_bias]: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let (size, wanted) = (self, Wanted { input, weight: of_weight, bias: of_bias });
        // An empty batch has no blocks: the sum over nothing is zero.
        let or_zeros = |sum: Vec<f32>, len: usize| if sum.is_empty() { vec![0.0; len] } else { sum };
        let all_weights = weight.len();
        let weight = if wanted.input { pad_rows(size, weight) } else { Vec::new() };
        let weight_len = if wanted.weight { padded_len(size) } else { 0 };
        let bias_len = if wanted.bias { size.outputs } else { 0 };
        let blocks = Blocks::new(size.batch, size.input_len(), weight_len);
        let gradients = blocks.add_up(wanted, |samples, dx| {
            let mut partial = Partial { weight: vec![0.0; weight_len], bias: vec![0.0; bias_len] };
            let inputs = samples.start * size.input_len()..samples.end * size.input_len();
            let outputs = samples.start * size.output_len()..samples.end * size.output_len();
            dispatch(BackwardPass {
                size,
                wanted,
                weight: &weight,
                x: &x[inputs],
                dy: &dy[outputs.clone()],
                winners: &winners[outputs],
                dx,
                partial: &mut partial,
            });
            partial
        });
        [
            gradients.input,
            gradients.weight.map(|padded| or_zeros(unpad_rows(size, &padded), all_weights)),
            gradients.bias.map(|sum| or_zeros(sum, size.outputs)),
        ]
    }
}
