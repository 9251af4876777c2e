//! Multi-head self-attention of sequences that follow each other without padding.

mod head;

use rayon::prelude::*;

use super::dropout::Mask;
use super::gemm::MatrixMut;
use super::linear::Size;
use super::sequences::Sequences;
pub(crate) use head::score_scale;
use head::{Head, HeadGradients};

/// Number of the first row of a head's mask; heads are counted over all sequences.
pub(crate) fn first_row(head: u64) -> u64 {
    head << 32
}

/// Attention by maps of a certain size to query, key and value. The arguments are `x`, then weight and bias of each map.
#[derive(Clone)]
pub(crate) struct Attention {
    pub size: Size,
    pub heads: usize,
    pub sequences: Sequences,
    pub mask: Option<Mask>,
}

/// What the backward pass needs.
pub(crate) struct Kept {
    /// Query, key and value, each `(rows, width)`.
    projected: [Vec<f32>; 3],
    /// For each head of each sequence the logarithm of the sum of each row's exponentials.
    log_sums: Vec<Vec<f32>>,
}

impl Attention {
    /// The joined heads.
    pub fn forward(&self, [x, wq, bq, wk, bk, wv, bv]: [&[f32]; 7]) -> (Vec<f32>, Kept) {
        let projected = [(wq, bq), (wk, bk), (wv, bv)].map(|(weight, bias)| self.size.forward(x, weight, bias));
        let mut log_sums = Vec::new();
        let [y] = self.written(|[heads]| {
            let work = self.heads(&projected).into_par_iter().zip(heads);
            log_sums = work.map_init(Vec::new, |scratch, (head, y)| head.forward(y, scratch)).collect();
        });
        (y, Kept { projected, log_sums })
    }

    /// The gradients of the arguments for `dy`, that of the joined heads `y`; `residual`, unless it is empty, is added to
    /// that of `x`.
    pub fn backward(
        &self,
        kept: &Kept,
        [x, wq, _, wk, _, wv, _]: [&[f32]; 7],
        [y, dy]: [&[f32]; 2],
        residual: &[f32],
        wanted: [bool; 7],
    ) -> [Option<Vec<f32>>; 7] {
        let projected = self.gradients(kept, y, dy);
        let dx = wanted[0].then(|| {
            let mut dx = self.size.input(wq, &projected[0], residual);
            self.size.add_input(wk, &projected[1], &mut dx);
            self.size.add_input(wv, &projected[2], &mut dx);
            dx
        });
        let weights = [0, 1, 2].map(|i| wanted[1 + 2 * i].then_some(projected[i].as_slice()));
        let [dwq, dwk, dwv] = self.size.weights(x, weights);
        let [dbq, dbk, dbv] = [0, 1, 2].map(|i| wanted[2 + 2 * i].then(|| self.size.bias(&projected[i])));
        [dx, dwq, dbq, dwk, dbk, dwv, dbv]
    }

    /// `N` matrices of `(rows, width)`; `write` is given the heads of the sequences of each, in the order of
    /// [`heads`](Self::heads), and overwrites all of their values, with products alone.
    fn written<const N: usize>(&self, write: impl FnOnce([Vec<MatrixMut<'_>>; N])) -> [Vec<f32>; N] {
        let (rows, width) = (self.size.rows, self.size.outputs);
        let columns: Vec<usize> = (0..=self.heads).map(|head| head * (width / self.heads)).collect();
        let mut matrices = [(); N].map(|()| Vec::with_capacity(rows * width));
        write(matrices.each_mut().map(|values| {
            let values = &mut values.spare_capacity_mut()[..rows * width];
            // SAFETY: a product that overwrites its destination does not read it.
            unsafe { MatrixMut::unwritten(values, rows, width) }.cut(self.sequences.bounds(), &columns)
        }));
        // SAFETY: the heads are all of the values.
        matrices.iter_mut().for_each(|values| unsafe { values.set_len(rows * width) });
        matrices
    }

    /// The heads, in the same order.
    fn heads<'a>(&self, projected: &'a [Vec<f32>; 3]) -> Vec<Head<'a>> {
        let (width, heads) = (self.size.outputs, self.heads);
        let head = |(i, rows): (usize, std::ops::Range<usize>), head: usize| Head {
            projected: [0, 1, 2].map(|i| projected[i].as_slice()),
            rows,
            column: head * (width / heads),
            head_width: width / heads,
            width,
            mask: self.mask.map(|mask| (mask, first_row((i * heads + head) as u64))),
        };
        self.sequences.ranges().enumerate().flat_map(|place| (0..heads).map(move |i| head(place.clone(), i))).collect()
    }

    /// The gradients of query, key and value for that of the result.
    fn gradients(&self, kept: &Kept, y: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        self.written(|[dq, dk, dv]| {
            let gradient_parts = dq.into_par_iter().zip(dk).zip(dv);
            self.heads(&kept.projected).into_par_iter().zip(&kept.log_sums).zip(gradient_parts).for_each_init(
                Vec::new,
                |scratch, ((head, log_sums), ((query, key), value))| {
                    head.backward(y, dy, log_sums, HeadGradients { query, key, value }, scratch);
                },
            );
        })
    }
}
