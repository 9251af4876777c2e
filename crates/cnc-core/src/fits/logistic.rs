//! Logistic regression on features: full batch, deterministic, to convergence.
//!
//! As in scikit-learn's `LogisticRegression`, with one row of weights a class and a bias that is not penalised:
//!
//! ```text
//! minimise  C · Σ cross_entropy(W·x + b, y) + R(W)      R = Σ |W| (L1)  or  ½ Σ W² (L2)
//! ```
//!
//! Of two classes scikit-learn fits the difference of the two rows alone. With L1 that is the same classifier; with L2
//! this one is scikit-learn's with 2·C.

use serde::{Deserialize, Serialize};

use super::features::{Labelled, LinearHead};
use super::minimise::{Limits, minimise};
use super::softmax::SoftmaxRegression;
use crate::error::{Error, Result};

/// The gradient of the mean loss is zero below this (scikit-learn stops at 1e-4), or after so many steps.
const LIMITS: Limits = Limits { gradient: 1e-6, steps: 1000 };

/// What keeps the weights small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Penalty {
    /// Σ |W|: most weights become 0.
    L1,
    /// ½ Σ W².
    L2,
}

/// The settings of a fit.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use cnc_core::Features;
/// use cnc_core::fits::{Labelled, LogisticOptions, Penalty};
/// let features = Features::new(&[-2.0, -1.0, 1.0, 2.0], 1)?;
/// let samples = Labelled { features, labels: &[0, 0, 1, 1], classes: 2 };
/// let head = LogisticOptions { penalty: Penalty::L2, c: 1.0 }.fit(&samples)?;
/// assert_eq!(head.predict(&features)?, [0, 0, 1, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogisticOptions {
    /// The kind of penalty.
    pub penalty: Penalty,
    /// C, how much the losses count against the penalty.
    pub c: f64,
}

impl LogisticOptions {
    /// Fits a head.
    ///
    /// # Errors
    /// [`Error::Setting`] when C is not positive and finite, [`Error::Lengths`] when there is not one label a row,
    /// [`Error::ClassOutOfRange`] naming the row, [`Error::ClassWithoutSamples`] when a class has no row: its bias would
    /// fall without end.
    pub fn fit(&self, samples: &Labelled<'_>) -> Result<LinearHead> {
        self.check()?;
        samples.check()?;
        let &Labelled { features, labels, classes } = samples;
        let rows = features.iter().flatten().copied().map(f64::from).collect();
        let head = self.fit_rows(rows, features.dim(), labels.to_vec(), classes);
        let (weight, bias) = head.split_at(classes * features.dim());
        let floats = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        Ok(LinearHead { weight: floats(weight), bias: floats(bias) })
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.c.is_finite() && self.c > 0.0 {
            return Ok(());
        }
        Err(Error::Setting { option: "c", expected: "a finite number above 0", given: self.c })
    }

    /// Weight `(classes, dim)`, then bias `(classes,)`, fitted to `rows` `(rows, dim)`.
    pub(crate) fn fit_rows(&self, rows: Vec<f64>, dim: usize, labels: Vec<u32>, classes: usize) -> Vec<f64> {
        let share = 1.0 / labels.len() as f64;
        let weights = vec![share; labels.len()];
        let regression = SoftmaxRegression { rows, dim, classes, labels, weights };
        let penalty = share / self.c; // everything divided by C and the rows
        let penalised = classes * dim;
        let (l1, l2) = match self.penalty {
            Penalty::L1 => (penalty, 0.0),
            Penalty::L2 => (0.0, penalty),
        };
        let objective = |parameters: &[f64]| {
            let (mut loss, mut gradient) = regression.loss_and_gradient(parameters);
            for (slope, weight) in gradient.iter_mut().zip(parameters).take(penalised) {
                loss += 0.5 * l2 * weight * weight;
                *slope += l2 * weight;
            }
            // Adding one number to all biases changes no likelihood: without a pull to a sum of zero the steps drift along
            // it, far enough to lose the biases' differences in rounding. The optimum is where it was.
            let sum: f64 = parameters.iter().skip(penalised).sum();
            loss += 0.5 * sum * sum;
            gradient.iter_mut().skip(penalised).for_each(|slope| *slope += sum);
            (loss, gradient)
        };
        minimise(objective, l1, penalised, vec![0.0; penalised + classes], LIMITS)
    }
}
