//! One head of one sequence, on one thread.

use std::ops::Range;

use crate::kernels::dropout::{Mask, RowMask};
use crate::kernels::gemm::{Destination, Matrix, MatrixMut, multiply, scaled_multiply};
use crate::kernels::simd::{Kernel, Simd, dispatch, sum_of_pairs};
use crate::kernels::softmax::{exponentials, scale};
use crate::kernels::special::exp;

/// Queries at a time: their probabilities stay in the second-level cache.
const QUERIES: usize = 128;

/// What scores are multiplied with.
pub(crate) fn score_scale(head_width: usize) -> f64 {
    1.0 / (head_width as f64).sqrt()
}

/// Where a head of a sequence lies in query, key and value.
pub(crate) struct Head<'a> {
    /// Query, key and value of all sequences and heads, each `(rows, width)`.
    pub projected: [&'a [f32]; 3],
    /// The rows of the sequence.
    pub rows: Range<usize>,
    /// The first column of the head.
    pub column: usize,
    pub head_width: usize,
    pub width: usize,
    /// Dropout of probabilities, with the number of the first row's mask.
    pub mask: Option<(Mask, u64)>,
}

/// What the gradients of a head are written to, each `(length, width of a head)`.
pub(crate) struct HeadGradients<'a> {
    pub query: MatrixMut<'a>,
    pub key: MatrixMut<'a>,
    pub value: MatrixMut<'a>,
}

impl<'a> Head<'a> {
    /// The head's part of a `(rows, width)` matrix.
    fn part<'b>(&self, values: &'b [f32]) -> Matrix<'b> {
        let start = (self.rows.start * self.width + self.column).min(values.len());
        Matrix::strided(&values[start..], self.rows.len(), self.head_width, self.width)
    }

    fn scale(&self) -> f32 {
        score_scale(self.head_width) as f32
    }

    /// Ranges of queries.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = self.rows.len();
        (0..length).step_by(QUERIES).map(move |start| start..(start + QUERIES).min(length))
    }

    fn masks(&self, queries: &Range<usize>) -> Option<(Mask, u64)> {
        self.mask.map(|(mask, first)| (mask, first + queries.start as u64))
    }

    /// Writes the head's part of the result to `y`; returns the logarithms of the sums of exponentials.
    pub fn forward(&self, mut y: MatrixMut<'_>, scratch: &mut Vec<f32>) -> Vec<f32> {
        let length = self.rows.len();
        let [q, k, v] = self.projected.map(|values| self.part(values));
        let mut log_sums = vec![0.0; length];
        scratch.resize(scratch.len().max(QUERIES.min(length) * length), 0.0);
        for queries in self.blocks() {
            let scores = &mut scratch[..queries.len() * length];
            let to = MatrixMut::new(scores, queries.len(), length);
            scaled_multiply(to, self.scale(), q.some_rows(&queries), k.transposed(), Destination::Overwrite);
            let masks = self.masks(&queries);
            dispatch(Probabilities { scores, length, log_sums: &mut log_sums[queries.clone()], masks });
            let probabilities = Matrix::new(scores, queries.len(), length);
            multiply(y.some_rows(&queries), probabilities, v, Destination::Overwrite);
        }
        log_sums
    }

    /// Writes the head's gradients, given the whole result `y` and its gradient `dy`.
    pub fn backward(
        &self,
        y: &[f32],
        dy: &[f32],
        log_sums: &[f32],
        mut gradients: HeadGradients<'_>,
        scratch: &mut Vec<f32>,
    ) {
        let length = self.rows.len();
        let [q, k, v] = self.projected.map(|values| self.part(values));
        let (y, dy) = (self.part(y), self.part(dy));
        let block = QUERIES.min(length) * length;
        scratch.resize(scratch.len().max(2 * block), 0.0);
        let (scores, slopes) = scratch.split_at_mut(block);
        for queries in self.blocks() {
            let (count, factor) = (queries.len(), self.scale());
            let (scores, slopes) = (&mut scores[..count * length], &mut slopes[..count * length]);
            let (q, dy) = (q.some_rows(&queries), dy.some_rows(&queries));
            let to = MatrixMut::new(scores, count, length);
            scaled_multiply(to, factor, q, k.transposed(), Destination::Overwrite);
            multiply(MatrixMut::new(slopes, count, length), dy, v.transposed(), Destination::Overwrite);
            let log_sums = &log_sums[queries.clone()];
            let y = y.some_rows(&queries);
            dispatch(Slopes { scores, slopes, length, log_sums, y, dy, masks: self.masks(&queries) });
            let probabilities = Matrix::new(scores, count, length).transposed();
            let slopes = Matrix::new(slopes, count, length);
            let mode = if queries.start == 0 { Destination::Overwrite } else { Destination::Add };
            multiply(gradients.value.reborrow(), probabilities, dy, mode);
            scaled_multiply(gradients.query.some_rows(&queries), factor, slopes, k, Destination::Overwrite);
            scaled_multiply(gradients.key.reborrow(), factor, slopes.transposed(), q, mode);
        }
    }
}

/// The mask of the `i`-th row after the first.
#[inline(always)]
fn mask_row(masks: Option<(Mask, u64)>, i: usize) -> Option<RowMask> {
    masks.map(|(mask, first)| mask.row(first + i as u64))
}

/// Puts the probabilities, dropped by the masks, in the place of scores, `(queries, length)`.
struct Probabilities<'a> {
    scores: &'a mut [f32],
    length: usize,
    log_sums: &'a mut [f32],
    masks: Option<(Mask, u64)>,
}

impl Kernel for Probabilities<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.scores.chunks_exact_mut(self.length).zip(self.log_sums);
        for (i, (row, log_sum)) in rows.enumerate() {
            let (sum, max) = exponentials(row);
            *log_sum = max + sum.ln();
            scale(row, 1.0 / sum);
            if let Some(mask) = mask_row(self.masks, i) {
                mask.apply(row);
            }
        }
    }
}

/// With probabilities `p` and their mask `m`: puts `m p` in the place of the scores, and their gradient in the place of the
/// gradient `g` of `m p`. That gradient is `p (m g - Σ p m g)`, where the sum is the product of the rows of result and gradient.
struct Slopes<'a> {
    scores: &'a mut [f32],
    slopes: &'a mut [f32],
    length: usize,
    log_sums: &'a [f32],
    y: Matrix<'a>,
    dy: Matrix<'a>,
    masks: Option<(Mask, u64)>,
}

impl Kernel for Slopes<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.scores.chunks_exact_mut(self.length).zip(self.slopes.chunks_exact_mut(self.length));
        for (i, ((scores, slopes), log_sum)) in rows.zip(self.log_sums).enumerate() {
            let mean = sum_of_pairs(self.y.row(i), self.dy.row(i), |y, dy| y * dy);
            match mask_row(self.masks, i) {
                None => {
                    for (score, slope) in scores.iter_mut().zip(slopes) {
                        let p = exp(*score - log_sum);
                        (*score, *slope) = (p, p * (*slope - mean));
                    }
                }
                Some(mask) => {
                    for (key, (score, slope)) in scores.iter_mut().zip(slopes).enumerate() {
                        let (p, m) = (exp(*score - log_sum), mask.factor(key as u32));
                        (*score, *slope) = (p * m, p * (m * *slope - mean));
                    }
                }
            }
        }
    }
}
