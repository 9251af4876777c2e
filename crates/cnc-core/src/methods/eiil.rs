//! EIIL: environments that stand in for the spurious attribute, inferred from a reference model.
//!
//! Creager, Jacobsen, Zemel, "Environment Inference for Invariant Learning", ICML 2021 (arXiv 2010.07249): the
//! logits of a reference model, trained plainly, are fixed. Every sample gets a soft environment `w = σ(q)`, and q is
//! moved to where the invariance penalty of IRMv1 is largest, that is, to where the reference model is furthest from
//! being optimal in both environments at once. With ℓ the cross-entropy and s a scale of the logits,
//!
//! ```text
//! d_i     = ∂ℓ(s·logits_i, y_i)/∂s at s = 1 = Σ_k logits_ik · (p_ik - 1[k = y_i])
//! penalty = ½ · [ (mean of w_i·d_i)² + (mean of (1-w_i)·d_i)² ]
//! ```
//!
//! The d_i are constants of q, so the gradient has a closed form and no second derivative of a network is needed. The
//! penalty is convex in w, and largest where one environment has the samples of positive d_i and the other the rest:
//! those that the reference model gets wrong or is unsure of, and those that it is right about.
//!
//! Group DRO over (class, environment) follows: [`environment_groups`](super::environment_groups).

use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::draws::standard_normals;
use crate::error::{Error, Result};

/// PyTorch's defaults of Adam, which the published code takes.
const BETAS: [f64; 2] = [0.9, 0.999];

/// The settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EiilOptions {
    /// Learning rate of Adam; 0.001 in the paper.
    pub learning_rate: f64,
    /// Steps, each over all samples; 10,000 in the paper.
    pub steps: u64,
    /// Adam's ε: PyTorch's 1e-8 in the published code. The penalty is a mean over all samples, so the gradient by one q is
    /// divided by their number, and among tens of thousands that of a sample the reference model is sure of is far below 1e-8:
    /// with it such samples, nearly all, stay in the environment that they were drawn in. With 1e-30 they move too.
    pub epsilon: f64,
}

/// What a reference model, trained plainly, says of its training set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReferenceLogits<'a> {
    /// `(rows, classes)` in row-major order.
    pub logits: &'a [f32],
    /// Number of classes.
    pub classes: usize,
    /// The class of each row.
    pub labels: &'a [u32],
}

/// w of each sample, in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct SoftEnvironments(pub Vec<f64>);

impl SoftEnvironments {
    /// The environment of each sample: whether w > ½.
    #[must_use]
    pub fn predict(&self) -> Vec<bool> {
        self.0.iter().map(|soft| *soft > 0.5).collect()
    }
}

/// d_i of each sample: the derivative of its cross-entropy by a scale of its logits.
///
/// # Errors
/// [`Error::NoSamples`]; [`Error::Lengths`] when there are not `classes` logits a label; [`Error::ClassOutOfRange`] or
/// [`Error::NotFiniteRow`] naming the row.
pub fn scale_gradients(reference: &ReferenceLogits<'_>) -> Result<Vec<f64>> {
    let &ReferenceLogits { logits, classes, labels } = reference;
    if labels.is_empty() {
        return Err(Error::NoSamples);
    }
    let (left, right) = (logits.len(), labels.len().saturating_mul(classes));
    if left != right {
        return Err(Error::Lengths { left_name: "logits", left, right_name: "labels times classes", right });
    }
    let rows = logits.chunks_exact(classes).zip(labels).enumerate();
    rows.map(|(row, (logits, &value))| {
        let Some(&of_label) = logits.get(value as usize) else {
            return Err(Error::ClassOutOfRange { row, column: "label", value: value.into(), classes });
        };
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let (mut sum, mut weighted) = (0.0, 0.0);
        for &logit in logits {
            let likelihood = (f64::from(logit) - largest).exp();
            sum += likelihood;
            // Against the label's logit, so that the sign is exact however sure the model is.
            weighted += likelihood * (f64::from(logit) - f64::from(of_label));
        }
        let gradient = weighted / sum;
        if gradient.is_finite() {
            Ok(gradient)
        } else {
            Err(Error::NotFiniteRow { what: "a logit", row, value: gradient })
        }
    })
    .collect()
}

/// The penalty of IRMv1 for soft environments w in [0, 1], and its gradient by w; `scale_gradients` are the d_i.
///
/// # Errors
/// [`Error::NoSamples`], or [`Error::Lengths`] when there is not one w a sample.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// // One sample too confident, one not confident enough: apart, each environment has a penalty of (1/2)².
/// let (apart, _) = cnc_core::methods::irm_penalty(&[1.0, -1.0], &[1.0, 0.0])?;
/// let (together, gradient) = cnc_core::methods::irm_penalty(&[1.0, -1.0], &[0.5, 0.5])?;
/// assert_eq!((apart, together), (0.25, 0.0));
/// assert_eq!(gradient, [0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
pub fn irm_penalty(scale_gradients: &[f64], soft: &[f64]) -> Result<(f64, Vec<f64>)> {
    let (left, right) = (scale_gradients.len(), soft.len());
    if left != right {
        return Err(Error::Lengths { left_name: "scale gradients", left, right_name: "soft environments", right });
    }
    if soft.is_empty() {
        return Err(Error::NoSamples);
    }
    let rows = soft.len() as f64;
    let (inside, outside) = environment_means(scale_gradients, soft);
    let penalty = 0.5 * (inside * inside + outside * outside);
    Ok((penalty, scale_gradients.iter().map(|gradient| gradient * (inside - outside) / rows).collect()))
}

impl EiilOptions {
    /// Infers environments; q starts at draws from the standard normal distribution.
    ///
    /// # Errors
    /// As for [`scale_gradients`], and [`Error::Setting`] when the learning rate is not positive and finite.
    pub fn fit<R: RngCore + ?Sized>(&self, reference: &ReferenceLogits<'_>, rng: &mut R) -> Result<SoftEnvironments> {
        let gradients = scale_gradients(reference)?;
        let start = standard_normals(gradients.len(), rng);
        self.maximise(&gradients, start)
    }

    /// Maximises the penalty over q with Adam from `start`, given the d_i.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::Lengths`] when there is not one start a sample, and [`Error::Setting`] when the
    /// learning rate or ε is not positive and finite.
    pub fn maximise(&self, scale_gradients: &[f64], start: Vec<f64>) -> Result<SoftEnvironments> {
        let &Self { learning_rate, steps, epsilon } = self;
        if !learning_rate.is_finite() || learning_rate <= 0.0 {
            let expected = "a finite number above 0";
            return Err(Error::Setting { option: "learning_rate", expected, given: learning_rate });
        }
        if !epsilon.is_finite() || epsilon <= 0.0 {
            return Err(Error::Setting { option: "epsilon", expected: "a finite number above 0", given: epsilon });
        }
        let (left, right) = (scale_gradients.len(), start.len());
        if left != right {
            return Err(Error::Lengths { left_name: "scale gradients", left, right_name: "starts", right });
        }
        if start.is_empty() {
            return Err(Error::NoSamples);
        }
        let rows = start.len() as f64;
        let mut q = start;
        let mut soft: Vec<f64> = q.iter().copied().map(sigmoid).collect();
        let mut moments = vec![[0.0; 2]; q.len()];
        let mut powers = [1.0; 2]; // β^step
        for _ in 0..steps {
            powers = [powers[0] * BETAS[0], powers[1] * BETAS[1]];
            let corrections = [1.0 - powers[0], (1.0 - powers[1]).sqrt()];
            let (inside, outside) = environment_means(scale_gradients, &soft);
            let samples = q.iter_mut().zip(&mut soft).zip(&mut moments).zip(scale_gradients);
            for (((q, soft), [first, second]), of_scale) in samples {
                // Adam descends, so by the gradient of -penalty.
                let gradient = -of_scale * (inside - outside) / rows * *soft * (1.0 - *soft);
                *first += (1.0 - BETAS[0]) * (gradient - *first);
                *second += (1.0 - BETAS[1]) * (gradient * gradient - *second);
                *q -= learning_rate / corrections[0] * *first / (second.sqrt() / corrections[1] + epsilon);
                *soft = sigmoid(*q);
            }
        }
        Ok(SoftEnvironments(soft))
    }
}

/// The means of w·d and (1-w)·d.
fn environment_means(scale_gradients: &[f64], soft: &[f64]) -> (f64, f64) {
    let (mut inside, mut total) = (0.0, 0.0);
    for (gradient, soft) in scale_gradients.iter().zip(soft) {
        inside += soft * gradient;
        total += gradient;
    }
    let rows = soft.len() as f64;
    (inside / rows, (total - inside) / rows)
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}
