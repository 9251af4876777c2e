//! Group distributionally robust optimisation.
//!
//! Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020
//! (arXiv 1911.08731), Algorithm 1: weights q over the groups move towards those with the largest loss, and the model
//! is trained on the weighted sum. With `L_g` the mean loss of group g in the batch, `n_g` its size in the training set,
//! η the step size and C the adjustment (their equation 5; 0 for none):
//!
//! ```text
//! q_g  <-  q_g · exp( η · (L_g + C/√n_g) )      for the groups in the batch, then all divided by their sum
//! loss  =  Σ q_g · (L_g + C/√n_g)               over the groups in the batch
//! ```
//!
//! The weights are constants for the gradient. (The published code moves the weights of groups that a batch lacks too,
//! by C/√n_g; the algorithm does not.)

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::losses::{values, weighted_sum};

/// Saved weights may be this far from a sum of 1.
const SUM_TOLERANCE: f64 = 1e-6;

/// The settings of [`GroupDro`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupDroOptions {
    /// η, how fast the weights move; 0.01 in the paper.
    pub step_size: f64,
    /// C, by which small groups are made to count more; 0 for none, the paper tries 0 to 5.
    pub adjustment: f64,
}

/// The weights of the groups, and the loss that they make.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// use cnc_core::methods::{GroupDro, GroupDroOptions};
/// let mut dro = GroupDro::new(&[90, 10], GroupDroOptions { step_size: 0.5f64.ln().abs(), adjustment: 0.0 })?;
/// // Group 0 loses 0, group 1 loses 1, so its weight doubles: from halves to a third and two thirds.
/// let loss = dro.loss(&Tensor::new(&[0f32, 0.0, 1.0], &Device::Cpu)?, &[0, 0, 1])?;
/// assert!((dro.weights()[1] - 2.0 / 3.0).abs() < 1e-12);
/// assert!((loss.to_scalar::<f32>()? - 2.0 / 3.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDro {
    weights: Vec<f64>,
    /// C/√n_g of each group; `None` for a group without samples.
    adjustments: Vec<Option<f64>>,
    step_size: f64,
}

impl GroupDro {
    /// Equal weights for all groups that have samples; `group_sizes` are the groups' sizes in the training set. A group
    /// without samples has weight 0.
    ///
    /// # Errors
    /// [`Error::NoSamples`] when no group has samples, [`Error::Setting`] when an option is negative or not finite.
    pub fn new(group_sizes: &[usize], options: GroupDroOptions) -> Result<Self> {
        let GroupDroOptions { step_size, adjustment } = options;
        for (option, given) in [("step_size", step_size), ("adjustment", adjustment)] {
            if !given.is_finite() || given < 0.0 {
                return Err(Error::Setting { option, expected: "a finite number of at least 0", given });
            }
        }
        let in_use = group_sizes.iter().filter(|&&size| size > 0).count();
        if in_use == 0 {
            return Err(Error::NoSamples);
        }
        let equal = 1.0 / in_use as f64;
        let weights = group_sizes.iter().map(|&size| if size > 0 { equal } else { 0.0 }).collect();
        let adjust = |&size: &usize| (size > 0).then(|| adjustment / (size as f64).sqrt());
        Ok(Self { weights, adjustments: group_sizes.iter().map(adjust).collect(), step_size })
    }

    /// Moves the weights by the losses of a batch, `(batch,)`, whose rows are of `groups`, and gives the loss to
    /// minimise, a scalar of the same dtype.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::EmptyBatch`] or [`Error::Lengths`] when the arguments do not fit each other,
    /// [`Error::GroupOutOfRange`] or [`Error::EmptyGroup`] when a group is not one of those that were counted,
    /// [`Error::NotFiniteRow`] when a loss is NaN or infinite, [`Error::Setting`] when the step size is too large for the losses
    /// (the weights would be 0/0). The weights stay as they were.
    pub fn loss(&mut self, losses: &Tensor, groups: &[u32]) -> Result<Tensor> {
        let values = values(losses)?;
        let (left, right) = (values.len(), groups.len());
        if left != right {
            return Err(Error::Lengths { left_name: "losses", left, right_name: "groups", right });
        }
        let mut sums = vec![(0.0, 0usize); self.weights.len()];
        for (row, (&group, loss)) in groups.iter().zip(values).enumerate() {
            let at = group as usize;
            let (Some((sum, count)), Some(adjustment)) = (sums.get_mut(at), self.adjustments.get(at)) else {
                return Err(Error::GroupOutOfRange { row, group, groups: self.weights.len() });
            };
            if adjustment.is_none() {
                return Err(Error::EmptyGroup { row, group });
            }
            *sum += loss;
            *count += 1;
        }
        self.step(&sums)?;

        let mut constant = 0.0;
        let mut shares = vec![0.0; sums.len()]; // q_g / (rows of g in the batch)
        for (((share, &(_, count)), weight), adjustment) in
            shares.iter_mut().zip(&sums).zip(&self.weights).zip(&self.adjustments)
        {
            if count > 0 {
                *share = weight / count as f64;
                constant += weight * adjustment.unwrap_or(0.0);
            }
        }
        let of_rows = groups.iter().filter_map(|&group| shares.get(group as usize)).copied().collect();
        Ok((weighted_sum(losses, of_rows)? + constant)?)
    }

    /// q, one weight a group, adding up to 1.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Restores the weights of a run that was interrupted.
    ///
    /// # Errors
    /// [`Error::State`] when they are not one weight a group, of at least 0, adding up to 1, or when a group without
    /// samples has one.
    pub fn set_weights(&mut self, weights: &[f64]) -> Result<()> {
        let state = |problem| Error::State { what: "weights of the groups", problem };
        if weights.len() != self.weights.len() {
            return Err(state(format!("there are {}, for {} groups", weights.len(), self.weights.len())));
        }
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|weight| weight.is_nan() || *weight < 0.0) || (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(state(format!("they must be at least 0 and add up to 1, found {weights:?}")));
        }
        if self.adjustments.iter().zip(weights).any(|(adjustment, &weight)| adjustment.is_none() && weight > 0.0) {
            return Err(state(format!("a group without samples has a weight in {weights:?}")));
        }
        self.weights = weights.to_vec();
        Ok(())
    }

    /// The weights stay as they were where they would end as 0/0: a step so large that the group with the largest loss has
    /// lost all of its weight before, or an exponent that is infinite.
    fn step(&mut self, sums: &[(f64, usize)]) -> Result<()> {
        let exponents: Vec<f64> = sums
            .iter()
            .zip(&self.adjustments)
            .map(
                |(&(sum, count), adjustment)| {
                    if count > 0 { self.step_size * (sum / count as f64 + adjustment.unwrap_or(0.0)) } else { 0.0 }
                },
            )
            .collect();
        // Exponentials overflow where losses are large; a common factor makes no difference.
        let largest = exponents.iter().copied().fold(0.0, f64::max);
        let mut weights = self.weights.clone();
        for (weight, exponent) in weights.iter_mut().zip(exponents) {
            *weight *= (exponent - largest).exp();
        }
        let total: f64 = weights.iter().sum();
        if !(total.is_finite() && total > 0.0) {
            let expected = "smaller: with these losses the weights of the groups become 0/0";
            return Err(Error::Setting { option: "step_size", expected, given: self.step_size });
        }
        for weight in &mut weights {
            *weight /= total;
        }
        self.weights = weights;
        Ok(())
    }
}
