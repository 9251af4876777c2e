//! Learning from failure.
//!
//! Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from Biased Classifier", NeurIPS 2020
//! (arXiv 2007.02561). Two models learn side by side. The biased one is made to trust what is easy by the generalised
//! cross-entropy of Zhang and Sabuncu 2018 (arXiv 1805.07836):
//!
//! ```text
//! GCE = (1 - p_y^q) / q          with the gradient  p_y^q · ∂CE
//! ```
//!
//! The debiased one learns with cross-entropy weighted by how much harder a sample is for the biased one, its relative difficulty:
//!
//! ```text
//! W = ℓ_b / (ℓ_b + ℓ_d)
//! ```
//!
//! where ℓ are moving averages of each sample's *cross-entropy* under either model, divided by the largest one in the
//! sample's class, as the authors' implementation has it. (Its GCE multiplies the gradient by q once more; this follows
//! the equation.)

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::losses::cross_entropy_per_sample;

/// Keeps the weight of a sample finite that both models have learnt perfectly.
const SMALLEST_SUM: f64 = 1e-8;

/// Stands for "no loss yet" in [`LossAverages::state`]; losses are never negative.
const NONE_YET: f64 = -1.0;

/// Generalised cross-entropy of each sample, `(batch,)`, from logits `(batch, classes)` and labels `(batch,)`; `q` in (0, 1] is 0.7 in the paper, cross-entropy towards 0, and the mean absolute error at 1.
///
/// # Errors
/// As for [`cross_entropy_per_sample`], and [`Error::Setting`] when `q` is not in (0, 1].
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0f32, 3f32.ln()]], &Device::Cpu)?; // three quarters for class 1
/// let labels = Tensor::new(&[1u32], &Device::Cpu)?;
/// let loss = cnc_core::methods::generalised_cross_entropy_per_sample(&logits, &labels, 0.5)?.to_vec1::<f32>()?;
/// assert!((loss[0] - 2.0 * (1.0 - 0.75f32.sqrt())).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn generalised_cross_entropy_per_sample(logits: &Tensor, labels: &Tensor, q: f64) -> Result<Tensor> {
    if !(q > 0.0 && q <= 1.0) {
        return Err(Error::Setting { option: "q", expected: "above 0 and at most 1", given: q });
    }
    // p^q = e^{-q·CE}
    let powers = (cross_entropy_per_sample(logits, labels)? * -q)?.exp()?;
    Ok(((1.0 - powers)? / q)?)
}

/// A moving average of the loss of every training sample under one model.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// let mut averages = cnc_core::methods::LossAverages::new(&[0, 0, 1], 2, 0.5)?;
/// averages.update(&[0, 1, 2], &[4.0, 1.0, 0.5])?;
/// averages.update(&[0], &[2.0])?; // halfway from 4 to 2
/// assert_eq!(averages.normalised(&[0, 1, 2])?, [1.0, 1.0 / 3.0, 1.0]); // by 3 in class 0, by 0.5 in class 1
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LossAverages {
    labels: Vec<u32>,
    classes: usize,
    decay: f64,
    averages: Vec<f64>,
}

impl LossAverages {
    /// Averages of the samples with these `labels`, none of them with a loss yet. `decay` is how much of an average
    /// stays when a loss arrives, 0.7 in the paper; the first loss of a sample is its average.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::ClassOutOfRange`] naming the row, [`Error::Setting`] when `decay` is not in [0, 1).
    pub fn new(labels: &[u32], classes: usize, decay: f64) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::NoSamples);
        }
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::Setting { option: "decay", expected: "at least 0 and below 1", given: decay });
        }
        if let Some((row, &value)) = labels.iter().enumerate().find(|&(_, &label)| label as usize >= classes) {
            return Err(Error::ClassOutOfRange { row, column: "label", value: value.into(), classes });
        }
        Ok(Self { labels: labels.to_vec(), classes, decay, averages: vec![NONE_YET; labels.len()] })
    }

    /// Takes in the losses of a batch of `rows`.
    ///
    /// # Errors
    /// [`Error::Lengths`] when there is not one loss a row, [`Error::RowOutOfRange`], [`Error::NotFiniteRow`] when a loss
    /// is NaN or infinite, [`Error::Setting`] when it is negative. The averages stay as they were.
    pub fn update(&mut self, rows: &[u32], losses: &[f32]) -> Result<()> {
        let (left, right) = (rows.len(), losses.len());
        if left != right {
            return Err(Error::Lengths { left_name: "rows", left, right_name: "losses", right });
        }
        for (&row, &loss) in rows.iter().zip(losses) {
            self.average(row)?;
            let value = f64::from(loss);
            if !value.is_finite() {
                return Err(Error::NotFiniteRow { what: "the loss", row: row as usize, value });
            }
            if value < 0.0 {
                return Err(Error::Setting { option: "loss of a sample", expected: "at least 0", given: value });
            }
        }
        for (&row, &loss) in rows.iter().zip(losses) {
            if let Some(average) = self.averages.get_mut(row as usize) {
                let loss = f64::from(loss);
                *average = if *average == NONE_YET { loss } else { self.decay * *average + (1.0 - self.decay) * loss };
            }
        }
        Ok(())
    }

    /// The averages of a batch of `rows`, each divided by the largest one in its class: in [0, 1]. A row without a loss
    /// yet, or in a class whose losses are all 0, has 0.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`].
    pub fn normalised(&self, rows: &[u32]) -> Result<Vec<f64>> {
        let mut largest = vec![0.0f64; self.classes];
        for (&label, &average) in self.labels.iter().zip(&self.averages) {
            if let Some(largest) = largest.get_mut(label as usize) {
                *largest = largest.max(average);
            }
        }
        let normalise = |&row: &u32| {
            let average = self.average(row)?;
            let largest = self.labels.get(row as usize).and_then(|&label| largest.get(label as usize)).copied();
            Ok(largest.filter(|largest| *largest > 0.0).map_or(0.0, |largest| average.max(0.0) / largest))
        };
        rows.iter().map(normalise).collect()
    }

    /// The averages, one a sample and -1 where there was no loss yet, for a checkpoint.
    #[must_use]
    pub fn state(&self) -> &[f64] {
        &self.averages
    }

    /// Restores what [`LossAverages::state`] gave.
    ///
    /// # Errors
    /// [`Error::State`] when it is not one average a sample, of at least 0, or -1.
    pub fn set_state(&mut self, averages: &[f64]) -> Result<()> {
        let state = |problem| Error::State { what: "averages of the losses", problem };
        if averages.len() != self.averages.len() {
            return Err(state(format!("there are {}, for {} samples", averages.len(), self.averages.len())));
        }
        let wrong = |average: f64| !average.is_finite() || (average < 0.0 && average != NONE_YET);
        if let Some((row, average)) = averages.iter().enumerate().find(|&(_, &average)| wrong(average)) {
            return Err(state(format!("that of row {row} is {average}, expected at least 0, or {NONE_YET} for none")));
        }
        self.averages = averages.to_vec();
        Ok(())
    }

    fn average(&self, row: u32) -> Result<f64> {
        let rows = self.averages.len();
        self.averages.get(row as usize).copied().ok_or(Error::RowOutOfRange { what: "the rows", row, rows })
    }
}

/// W = ℓ_b / (ℓ_b + ℓ_d) of each sample, from its normalised averages under the biased and the debiased model: near 1
/// where only the biased one fails. Weights of the debiased model's losses, whose mean over the batch is minimised.
///
/// # Errors
/// [`Error::Lengths`] when both are not of the same samples.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// let weights = cnc_core::methods::difficulty(&[0.9, 0.0, 0.0], &[0.1, 0.5, 0.0])?;
/// assert!((weights[0] - 0.9).abs() < 1e-7);
/// assert_eq!(weights[1..], [0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
pub fn difficulty(biased: &[f64], debiased: &[f64]) -> Result<Vec<f64>> {
    let (left, right) = (biased.len(), debiased.len());
    if left != right {
        return Err(Error::Lengths { left_name: "biased losses", left, right_name: "debiased losses", right });
    }
    Ok(biased.iter().zip(debiased).map(|(biased, debiased)| biased / (biased + debiased + SMALLEST_SUM)).collect())
}
