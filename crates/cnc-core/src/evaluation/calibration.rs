//! Calibration: whether a model that is 80 % sure is right in 80 % of the cases.
//!
//! Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599): predictions are put
//! into bins by their confidence, and in each the share of right ones stands against the mean confidence.

use serde::{Deserialize, Serialize};

use super::intervals::Proportion;
use crate::error::{Error, Result};

/// Bins of the published figures.
pub const BINS: usize = 15;

/// Predictions in bins of equal width, by their confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: Vec<Bin>,
}

/// The predictions whose confidence is in `(low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower end, left out; the first bin has 0 too.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How many there are, and how many are right.
    pub accuracy: Proportion,
    /// Their mean confidence; `None` without predictions.
    pub confidence: Option<f64>,
}

impl Calibration {
    /// Predictions with these confidences, each the probability of the predicted class, in so many bins.
    ///
    /// # Errors
    /// [`Error::Lengths`] when there is not one confidence a prediction, [`Error::Setting`] without bins, and
    /// [`Error::NotFiniteRow`] for a confidence that is none.
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// use cnc_core::evaluation::calibration::{BINS, Calibration};
    ///
    /// // As sure as right: 3 of 4, at 75 %.
    /// let calibration = Calibration::new(&[0.75; 4], &[true, true, false, true], BINS)?;
    /// assert_eq!(calibration.error(), Some(0.0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(confidences: &[f32], right: &[bool], bins: usize) -> Result<Self> {
        if confidences.len() != right.len() {
            return Err(Error::Lengths {
                left_name: "confidences",
                left: confidences.len(),
                right_name: "predictions",
                right: right.len(),
            });
        }
        if bins == 0 {
            return Err(Error::Setting { option: "bins", expected: "at least 1", given: 0.0 });
        }
        let mut sums = vec![(Proportion::default(), 0.0); bins];
        for (row, (confidence, right)) in confidences.iter().zip(right).enumerate() {
            let confidence = f64::from(*confidence);
            if !confidence.is_finite() {
                return Err(Error::NotFiniteRow { what: "the confidence", row, value: confidence });
            }
            let place = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
            if let Some((accuracy, sum)) = sums.get_mut(place) {
                accuracy.add(*right);
                *sum += confidence;
            }
        }
        let end = |place: usize| place as f64 / bins as f64;
        let bin = |(place, (accuracy, sum)): (usize, (Proportion, f64))| Bin {
            low: end(place),
            high: end(place + 1),
            accuracy,
            confidence: (accuracy.count > 0).then(|| sum / accuracy.count as f64),
        };
        Ok(Self { bins: sums.into_iter().enumerate().map(bin).collect() })
    }

    /// The bins, from unsure to sure.
    #[must_use]
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The expected calibration error in `[0, 1]` (Guo et al., equation 3): the mean distance of accuracy and confidence, each bin
    /// weighing what its share of predictions is. `None` without predictions.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let all: usize = self.bins.iter().map(|bin| bin.accuracy.count).sum();
        let gap = |bin: &Bin| {
            let distance =
                bin.accuracy.accuracy().zip(bin.confidence).map_or(0.0, |(right, sure)| (right - sure).abs());
            distance * bin.accuracy.count as f64
        };
        (all > 0).then(|| self.bins.iter().map(gap).sum::<f64>() / all as f64)
    }
}
