//! XRM: environments that stand in for the spurious attribute, discovered by two networks.
//!
//! Pezeshki et al., "Discovering environments with XRM", ICML 2024 (arXiv 2309.16748): two networks learn a half of the
//! training set each with [`class_balanced_cross_entropy`], and labels that the network which has not seen them
//! contradicts are flipped with [`flip_probability`]. In the end the environment of a sample is whether that network gets
//! it wrong, and Group DRO is trained on (class, environment): [`environment_groups`].

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::losses::{cross_entropy_per_sample, values, weighted_sum};

/// Sum over the classes in the batch of their mean cross-entropy, a scalar, so that every class counts the same. This is
/// what the networks of XRM are trained with (Pezeshki et al. 2023, arXiv 2309.16748).
///
/// # Errors
/// As for [`cross_entropy_per_sample`], and [`Error::NotFiniteRow`] for a loss that is NaN or infinite.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{DType, Device, Tensor};
/// // Two samples of class 0 at one half, one of class 1 at three quarters.
/// let logits = Tensor::new(&[[0f32, 0.0], [0.0, 0.0], [0.0, 3f32.ln()]], &Device::Cpu)?;
/// let loss = cnc_core::methods::class_balanced_cross_entropy(&logits, &Tensor::new(&[0u32, 0, 1], &Device::Cpu)?)?;
/// assert!((loss.to_scalar::<f32>()? - (2f32.ln() + (4f32 / 3.0).ln())).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn class_balanced_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let losses = cross_entropy_per_sample(logits, labels)?;
    values(&losses)?;
    let labels = labels.to_dtype(DType::U32)?.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    let mut counts = BTreeMap::<u32, f64>::new();
    for &label in &labels {
        *counts.entry(label).or_default() += 1.0;
    }
    weighted_sum(&losses, labels.iter().filter_map(|label| counts.get(label)).map(|count| 1.0 / count).collect())
}

/// XRM's probability of replacing a label by the held-out prediction, from that prediction's `confidence` p_max:
/// (p_max - 1/K) · K/(K-1), which is 0 for a guess among K `classes` and 1 for a certain prediction.
///
/// ```
/// assert_eq!(cnc_core::methods::flip_probability(0.75, 2), 0.5);
/// assert_eq!(cnc_core::methods::flip_probability(1.0, 5), 1.0);
/// ```
#[must_use]
pub fn flip_probability(confidence: f64, classes: usize) -> f64 {
    if classes < 2 {
        return 0.0; // there is no other class to flip to
    }
    let classes = classes as f64;
    ((confidence - 1.0 / classes) * classes / (classes - 1.0)).clamp(0.0, 1.0)
}

/// The group of each sample, 2 · class + environment, for Group DRO.
///
/// # Errors
/// [`Error::Lengths`] when there is not one environment a label, [`Error::ClassOutOfRange`] when a label is too large
/// to be doubled.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// assert_eq!(cnc_core::methods::environment_groups(&[0, 0, 3], &[false, true, true])?, [0, 1, 7]);
/// # Ok(())
/// # }
/// ```
pub fn environment_groups(labels: &[u32], environments: &[bool]) -> Result<Vec<u32>> {
    const LARGEST: u32 = u32::MAX / 2;
    let (left, right) = (labels.len(), environments.len());
    if left != right {
        return Err(Error::Lengths { left_name: "labels", left, right_name: "environments", right });
    }
    let group = |(row, (&label, &environment)): (usize, (&u32, &bool))| {
        if label > LARGEST {
            return Err(Error::ClassOutOfRange {
                row,
                column: "label",
                value: label.into(),
                classes: LARGEST as usize + 1,
            });
        }
        Ok(2 * label + u32::from(environment))
    };
    labels.iter().zip(environments).enumerate().map(group).collect()
}
