//! Automatic feature reweighting.
//!
//! Qiu, Potapczynski, Izmailov, Wilson, "Simple and Fast Group Robustness by Automatic Feature Reweighting", ICML 2023
//! (arXiv 2306.11074): the encoder stays as it is; the last layer is trained further, on held-out samples that count more
//! the less the first model believes their labels. With p_i the likelihood of sample i's label under the first model's
//! head (W₀, b₀), and n_y the samples of its class:
//!
//! ```text
//! μ_i  ∝  exp(-γ · p_i) / n_y            adding up to 1
//! loss =  Σ μ_i · cross_entropy(W·x_i + b, y_i) + λ · (‖W - W₀‖² + ‖b - b₀‖²)
//! ```
//!
//! by gradient descent over the full batch from (W₀, b₀), the gradient clipped at a norm of 1 in the published code
//! (`supervised_utils.py`, `take_step`). No group labels are used.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fits::features::{Features, Labelled, LinearHead};
use crate::fits::softmax::{SoftmaxRegression, softmax};

/// The settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AfrOptions {
    /// γ, how much more a sample counts that the first model gets wrong; 4 to 20 on Waterbirds.
    pub gamma: f64,
    /// λ, the pull towards the first model's head; 0 to 0.4 on Waterbirds.
    pub pull: f64,
    /// Learning rate of gradient descent; 0.01 in the published experiments.
    pub learning_rate: f64,
    /// Steps of gradient descent, each over all samples.
    pub steps: u64,
    /// Largest norm of a gradient, 1 in the published experiments; infinity does not clip.
    pub clip_norm: f64,
}

/// What a head is refitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut<'a> {
    /// Representations of samples that the first model was not trained on.
    pub features: Features<'a>,
    /// The class of each row.
    pub labels: &'a [u32],
    /// The first model's head.
    pub head: &'a LinearHead,
}

impl AfrOptions {
    /// The head after all steps.
    ///
    /// # Errors
    /// As for [`AfrOptions::start`].
    pub fn fit(&self, samples: &HeldOut<'_>) -> Result<LinearHead> {
        let mut afr = self.start(samples)?;
        afr.descend(self.steps);
        Ok(afr.head())
    }

    /// A refit that has taken no step yet, for a caller who stops it early.
    ///
    /// # Errors
    /// [`Error::Setting`] when an option is negative or not finite, [`Error::Shape`] when the head does not fit the
    /// features, [`Error::Lengths`] when there is not one label a row, [`Error::ClassOutOfRange`] naming the row,
    /// [`Error::ClassWithoutSamples`].
    pub fn start(&self, samples: &HeldOut<'_>) -> Result<Afr> {
        let &Self { gamma, pull, learning_rate, clip_norm, .. } = self;
        for (option, given) in [("gamma", gamma), ("pull", pull), ("learning_rate", learning_rate)] {
            if !given.is_finite() || given < 0.0 {
                return Err(Error::Setting { option, expected: "a finite number of at least 0", given });
            }
        }
        if clip_norm.is_nan() || clip_norm <= 0.0 {
            return Err(Error::Setting { option: "clip_norm", expected: "a number above 0", given: clip_norm });
        }
        let &HeldOut { features, labels, head } = samples;
        let (dim, classes) = (features.dim(), head.classes());
        head.check(dim)?;
        Labelled { features, labels, classes }.check()?;
        let weights = afr_weights(&head.logits(&features)?, labels, classes, gamma);
        let rows = features.iter().flatten().copied().map(f64::from).collect();
        let start: Vec<f64> = head.weight.iter().chain(&head.bias).copied().map(f64::from).collect();
        let regression = SoftmaxRegression { rows, dim, classes, labels: labels.to_vec(), weights };
        Ok(Afr { regression, pull, learning_rate, clip_norm, parameters: start.clone(), start })
    }
}

/// The refit of a head, step by step, so that the caller can stop it early.
#[derive(Debug, Clone)]
pub struct Afr {
    regression: SoftmaxRegression,
    pull: f64,
    learning_rate: f64,
    clip_norm: f64,
    /// Weight, then bias, of the first model.
    start: Vec<f64>,
    parameters: Vec<f64>,
}

impl Afr {
    /// μ, the weight of each sample; they add up to 1.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.regression.weights
    }

    /// Takes `steps` steps of gradient descent.
    pub fn descend(&mut self, steps: u64) {
        for _ in 0..steps {
            let (_, gradient) = self.loss_and_gradient();
            let norm = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
            // PyTorch's rule, `clip_grad_norm_`.
            let rate = self.learning_rate * (self.clip_norm / (norm + 1e-6)).min(1.0);
            for (parameter, slope) in self.parameters.iter_mut().zip(gradient) {
                *parameter -= rate * slope;
            }
        }
    }

    /// The head as it is now.
    #[must_use]
    pub fn head(&self) -> LinearHead {
        let (weight, bias) = self.parameters.split_at(self.regression.classes * self.regression.dim);
        let floats = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        LinearHead { weight: floats(weight), bias: floats(bias) }
    }

    /// The loss as it is now.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss_and_gradient().0
    }

    fn loss_and_gradient(&self) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = self.regression.loss_and_gradient(&self.parameters);
        for ((slope, now), start) in gradient.iter_mut().zip(&self.parameters).zip(&self.start) {
            loss += self.pull * (now - start).powi(2);
            *slope += 2.0 * self.pull * (now - start);
        }
        (loss, gradient)
    }
}

/// μ from the first model's logits `(rows, classes)`; labels are classes.
fn afr_weights(logits: &[f32], labels: &[u32], classes: usize, gamma: f64) -> Vec<f64> {
    let mut counts = vec![0.0; classes];
    for &label in labels {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1.0;
        }
    }
    let likelihood = |(logits, &label): (&[f32], &u32)| {
        let mut scores: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        (-softmax(&mut scores, label as usize)).exp()
    };
    let likelihoods: Vec<f64> = logits.chunks_exact(classes).zip(labels).map(likelihood).collect();
    // A common factor makes no difference, and so not all of them underflow, however large γ is.
    let least = likelihoods.iter().copied().fold(f64::INFINITY, f64::min);
    let weight = |(likelihood, &label): (f64, &u32)| {
        (-gamma * (likelihood - least)).exp() / counts.get(label as usize).copied().unwrap_or(1.0)
    };
    let weights: Vec<f64> = likelihoods.into_iter().zip(labels).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}
