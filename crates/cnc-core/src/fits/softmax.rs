//! Softmax regression on plain slices: the objective that all refits of a last layer share.

use super::vectors::dot;

/// Turns logits into likelihoods, and gives -log of the likelihood of `label`.
pub(crate) fn softmax(logits: &mut [f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_label = logits.get(label).copied().unwrap_or(f64::NEG_INFINITY);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
    sum.ln() + largest - of_label
}

/// Σ weight · cross-entropy of a linear head over fixed rows.
#[derive(Debug, Clone)]
pub(crate) struct SoftmaxRegression {
    /// `(rows, dim)`.
    pub(crate) rows: Vec<f64>,
    pub(crate) dim: usize,
    pub(crate) classes: usize,
    /// One a row, below `classes`.
    pub(crate) labels: Vec<u32>,
    /// One a row.
    pub(crate) weights: Vec<f64>,
}

impl SoftmaxRegression {
    /// The loss and its gradient at a head's parameters: the weight `(classes, dim)`, then the bias `(classes,)`.
    pub(crate) fn loss_and_gradient(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let (weight, bias) = parameters.split_at(self.classes * self.dim);
        let mut gradient = vec![0.0; parameters.len()];
        let (of_weight, of_bias) = gradient.split_at_mut(self.classes * self.dim);
        let mut loss = 0.0;
        let mut scores = vec![0.0; self.classes];
        for ((x, &label), &share) in self.rows.chunks_exact(self.dim).zip(&self.labels).zip(&self.weights) {
            for ((score, weight), bias) in scores.iter_mut().zip(weight.chunks_exact(self.dim)).zip(bias) {
                *score = dot(weight, x) + bias;
            }
            loss += share * softmax(&mut scores, label as usize);
            for (class, (score, (of_weight, of_bias))) in
                scores.iter().zip(of_weight.chunks_exact_mut(self.dim).zip(of_bias.iter_mut())).enumerate()
            {
                let of_score = share * (score - f64::from(u8::from(class == label as usize)));
                *of_bias += of_score;
                for (of_weight, x) in of_weight.iter_mut().zip(x) {
                    *of_weight += of_score * x;
                }
            }
        }
        (loss, gradient)
    }
}
