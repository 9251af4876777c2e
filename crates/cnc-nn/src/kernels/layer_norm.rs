//! Layer normalisation of rows, and of sums of two.

use rayon::prelude::*;

use super::dropout::Mask;
use super::parallel::{samples_per_block, sum_in_order, written_by_chunks, zeros};
use super::simd::{Kernel, Simd, dispatch, sum, sum_of_pairs};

/// Rows that one thread takes at a time.
const ROWS: usize = 16;

/// Normalisation of rows of `width` values: `x`, or the sum of `x` and of a branch of which `mask` drops values.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    pub width: usize,
    pub epsilon: f64,
    pub mask: Option<Mask>,
}

/// Some rows of `x` and, unless it is empty, of the branch.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a [f32],
    branch: &'a [f32],
    /// Number of the first row, which the mask goes by.
    first: usize,
}

impl Norm {
    fn input<'a>(&self, x: &'a [f32], branch: &'a [f32], first: usize, rows: usize) -> Input<'a> {
        let range = first * self.width..(first + rows) * self.width;
        Input { x: &x[range.clone()], branch: branch.get(range).unwrap_or_default(), first }
    }

    /// Normalises `x + dropout(branch)`; `branch` is empty where there is none.
    pub fn forward(&self, x: &[f32], branch: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        written_by_chunks(x.len(), ROWS * self.width, x.len(), |i, y| {
            let input = self.input(x, branch, i * ROWS, y.len() / self.width);
            dispatch(Forward { norm: self, input, weight, bias, y });
        })
    }

    /// The sum of a row with its branch goes to `sums`; returns its mean and the inverse root of its variance.
    #[inline(always)]
    fn moments(&self, input: Input<'_>, row: usize, sums: &mut [f32]) -> (f32, f32) {
        let range = row * self.width..(row + 1) * self.width;
        let x = &input.x[range.clone()];
        match (input.branch.get(range), self.mask) {
            (None, _) => sums.copy_from_slice(x),
            (Some(branch), None) => {
                for ((sum, x), branch) in sums.iter_mut().zip(x).zip(branch) {
                    *sum = x + branch;
                }
            }
            (Some(branch), Some(mask)) => {
                let mask = mask.row((input.first + row) as u64);
                for (column, ((sum, x), branch)) in sums.iter_mut().zip(x).zip(branch).enumerate() {
                    *sum = x + branch * mask.factor(column as u32);
                }
            }
        }
        let mean = sum(sums) / self.width as f32;
        let variance = sum_of_pairs(sums, sums, |s, _| (s - mean) * (s - mean)) / self.width as f32;
        (mean, (1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32)
    }
}

struct Forward<'a> {
    norm: &'a Norm,
    input: Input<'a>,
    weight: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (row, y) in self.y.chunks_exact_mut(self.norm.width).enumerate() {
            let (mean, scale) = self.norm.moments(self.input, row, y);
            for ((y, weight), bias) in y.iter_mut().zip(self.weight).zip(self.bias) {
                *y = (*y - mean) * scale * weight + bias;
            }
        }
    }
}

/// The gradients of a block of rows; that of the sum stands in `ds`, that of the branch, if it is wanted and not the same, in
/// `dbranch`.
struct Rows<'a> {
    norm: &'a Norm,
    input: Input<'a>,
    weight: &'a [f32],
    dy: &'a [f32],
    ds: &'a mut [f32],
    dbranch: &'a mut [f32],
    /// Gradients of weight and bias of these rows, one after the other.
    partial: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let width = self.norm.width;
        let (dweight, dbias) = self.partial.split_at_mut(width);
        let mut sums = vec![0.0; width];
        for (row, (dy, ds)) in self.dy.chunks_exact(width).zip(self.ds.chunks_exact_mut(width)).enumerate() {
            let (mean, scale) = self.norm.moments(self.input, row, &mut sums);
            // With n the normalised row and g = dy * weight: ds = scale (g - mean(g) - n mean(g n)).
            let each = dy.iter().zip(self.weight).zip(sums.iter_mut()).zip(ds.iter_mut());
            for ((((dy, weight), s), ds), (dweight, dbias)) in each.zip(dweight.iter_mut().zip(dbias.iter_mut())) {
                *s = (*s - mean) * scale;
                *ds = dy * weight;
                *dweight += dy * *s;
                *dbias += dy;
            }
            let direct = sum(ds) / width as f32;
            let with_n = sum_of_pairs(ds, &sums, |g, n| g * n) / width as f32;
            for (ds, n) in ds.iter_mut().zip(&sums) {
                *ds = scale * (*ds - direct - n * with_n);
            }
        }
        if let Some(mask) = self.norm.mask {
            let rows = self.dbranch.chunks_exact_mut(width).zip(self.ds.chunks_exact(width));
            for (row, (dbranch, ds)) in rows.enumerate() {
                dbranch.copy_from_slice(ds);
                mask.row((self.input.first + row) as u64).apply(dbranch);
            }
        }
    }
}

/// Gradients of what a norm is given.
pub(crate) struct NormGradients {
    /// That of the sum, which is that of `x`.
    pub sum: Vec<f32>,
    /// That of the branch where it is not the sum's and has been asked for; else empty.
    pub branch: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl NormGradients {
    pub fn branch(&self) -> &[f32] {
        if self.branch.is_empty() { &self.sum } else { &self.branch }
    }
}

impl Norm {
    /// The gradients for `dy`, that of the result; `branch` is empty where there is none.
    pub fn gradients(
        &self,
        x: &[f32],
        branch: &[f32],
        weight: &[f32],
        dy: &[f32],
        wants_branch: bool,
    ) -> NormGradients {
        let width = self.width;
        let rows = dy.len() / width;
        let block = samples_per_block(rows, 2 * width);
        let mut ds = zeros(dy.len());
        let mut dbranch = zeros(if wants_branch && self.mask.is_some() { dy.len() } else { 0 });
        let blocks = rows.div_ceil(block);
        let mut dbranches: Vec<&mut [f32]> = dbranch.chunks_mut(block * width).collect();
        dbranches.resize_with(blocks, Default::default);
        let partials = ds.par_chunks_mut(block * width).zip(dbranches).enumerate().map(|(i, (ds, dbranch))| {
            let mut partial = vec![0.0; 2 * width];
            let input = self.input(x, branch, i * block, ds.len() / width);
            let dy = &dy[i * block * width..][..ds.len()];
            dispatch(Rows { norm: self, input, weight, dy, ds, dbranch, partial: &mut partial });
            partial
        });
        let mut partial = sum_in_order(partials.collect::<Vec<Vec<f32>>>());
        partial.resize(2 * width, 0.0);
        let bias = partial.split_off(width);
        NormGradients { sum: ds, branch: dbranch, weight: partial, bias }
    }
}
