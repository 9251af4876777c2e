//! Deep feature reweighting.
//!
//! Kirichenko, Izmailov, Wilson, "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations", ICLR 2023
//! (arXiv 2204.02937): the encoder stays as it is; on standardised features a logistic regression is fitted to a subset
//! in which every group has as many samples as the smallest, and the heads of several such draws are averaged. (In the
//! published experiments: L1, C from 1, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01, tuned on half of the validation set, 20 draws of all of
//! it. Theirs are standardised by the training set, which would have to be encoded for it; ours by the validation set.)

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::reweighting::{Balanced, subsample};
use crate::draws::shuffled;
use crate::error::{Error, Result};
use crate::fits::features::{Features, Labelled, LinearHead, check_classes};
use crate::fits::logistic::{LogisticOptions, Penalty};

/// The settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DfrOptions {
    /// The fit to each balanced subset.
    pub regression: LogisticOptions,
    /// Balanced subsets, whose heads are averaged.
    pub draws: usize,
}

impl DfrOptions {
    /// A head for features as they are: the standardisation is part of it. The keys to balance by are groups.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] when there are no draws, [`Error::Lengths`] when there is not one label and group a row, and the
    /// errors of [`LogisticOptions::fit`].
    pub fn fit<R: RngCore + ?Sized>(&self, samples: &Balanced<'_>, rng: &mut R) -> Result<LinearHead> {
        let &Self { regression, draws } = self;
        if draws == 0 {
            return Err(Error::ZeroSize { option: "draws" });
        }
        regression.check()?;
        samples.check("groups")?;
        let &Balanced { samples: Labelled { features, labels, classes }, keys: groups } = samples;

        let scale = Standardisation::of(&features);
        let dim = features.dim();
        let mut sum = vec![0.0; classes * (dim + 1)];
        for _ in 0..draws {
            let chosen = subsample(groups, rng)?;
            let rows =
                chosen.iter().filter_map(|&row| features.get(row as usize)).flat_map(|x| scale.apply(x)).collect();
            let chosen_labels: Vec<u32> = chosen.iter().filter_map(|&row| labels.get(row as usize)).copied().collect();
            // Groups that cut across classes can leave one out of a draw.
            check_classes(&chosen_labels, classes)?;
            for (sum, parameter) in sum.iter_mut().zip(regression.fit_rows(rows, dim, chosen_labels, classes)) {
                *sum += parameter;
            }
        }
        let mean: Vec<f64> = sum.into_iter().map(|sum| sum / draws as f64).collect();
        let (weight, bias) = mean.split_at(classes * dim);
        Ok(scale.fold_into(weight, bias))
    }
}

/// What a search for C found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TunedC {
    /// The C.
    pub c: f64,
    /// Accuracy of the worst group on the half that the fit has not seen; `None` where that half is empty.
    pub worst_group: Option<f64>,
}

impl DfrOptions {
    /// The C among `candidates`, in their order the first of equals, whose head is best in its worst group on one half of the
    /// samples when it is fitted to a balanced subset of the other (dfr_evaluate_spurious.py:66-133). Halves are of every group,
    /// where the authors' are of all samples, so that small groups are in both.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] without a candidate, and the errors of [`fit`](Self::fit).
    pub fn tune<R: RngCore + ?Sized>(
        penalty: Penalty,
        candidates: &[f64],
        samples: &Balanced<'_>,
        rng: &mut R,
    ) -> Result<TunedC> {
        samples.check("groups")?;
        let &Balanced { samples: Labelled { features, labels, classes }, keys } = samples;
        let mut in_fit = std::collections::BTreeMap::<u32, bool>::new();
        let (mut fitted, mut judged) = (Vec::new(), Vec::new());
        for row in shuffled(features.rows() as u32, rng) {
            let Some(&key) = keys.get(row as usize) else { continue };
            let turn = in_fit.entry(key).or_default();
            *turn = !*turn;
            if *turn { fitted.push(row) } else { judged.push(row) }
        }
        let part = |rows: &[u32]| -> (Vec<f32>, Vec<u32>, Vec<u32>) {
            let values = rows.iter().filter_map(|row| features.get(*row as usize)).flatten().copied().collect();
            let of = |from: &[u32]| rows.iter().filter_map(|row| from.get(*row as usize)).copied().collect();
            (values, of(labels), of(keys))
        };
        let of_fitted: Vec<u32> = fitted.iter().filter_map(|row| keys.get(*row as usize)).copied().collect();
        let chosen = subsample(&of_fitted, rng)?;
        let chosen: Vec<u32> = chosen.iter().filter_map(|place| fitted.get(*place as usize)).copied().collect();
        let (values, fit_labels, fit_keys) = part(&chosen);
        let (judged_values, judged_labels, judged_keys) = part(&judged);
        let mut best: Option<TunedC> = None;
        for &c in candidates {
            if judged.is_empty() {
                return Ok(TunedC { c, worst_group: None });
            }
            let subset = Labelled { features: Features::new(&values, features.dim())?, labels: &fit_labels, classes };
            let options = Self { regression: LogisticOptions { penalty, c }, draws: 1 };
            let head = options.fit(&Balanced { samples: subset, keys: &fit_keys }, rng)?;
            let predictions = head.predict(&Features::new(&judged_values, features.dim())?)?;
            let worst_group = Some(worst_of(&predictions, &judged_labels, &judged_keys));
            if best.is_none_or(|best| worst_group > best.worst_group) {
                best = Some(TunedC { c, worst_group });
            }
        }
        best.ok_or(Error::ZeroSize { option: "candidates of C" })
    }
}

/// Accuracy of the worst key.
fn worst_of(predictions: &[u32], labels: &[u32], keys: &[u32]) -> f64 {
    let mut counts = std::collections::BTreeMap::<u32, (f64, f64)>::new();
    for ((prediction, label), key) in predictions.iter().zip(labels).zip(keys) {
        let (right, count) = counts.entry(*key).or_default();
        *right += f64::from(u8::from(prediction == label));
        *count += 1.0;
    }
    counts.values().map(|(right, count)| right / count).fold(1.0, f64::min)
}

/// Mean and standard deviation of each feature; a constant one is only shifted.
struct Standardisation {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Standardisation {
    fn of(features: &Features<'_>) -> Self {
        let rows = features.rows() as f64;
        let mut means = vec![0.0; features.dim()];
        for x in features.iter() {
            for (mean, x) in means.iter_mut().zip(x) {
                *mean += f64::from(*x) / rows;
            }
        }
        let mut deviations = vec![0.0; features.dim()];
        for x in features.iter() {
            for ((deviation, x), mean) in deviations.iter_mut().zip(x).zip(&means) {
                *deviation += (f64::from(*x) - mean).powi(2) / rows;
            }
        }
        for (deviation, mean) in deviations.iter_mut().zip(&means) {
            *deviation = deviation.sqrt();
            // What rounding makes of a constant is no spread.
            if *deviation <= mean.abs() * f64::from(f32::EPSILON) {
                *deviation = 1.0;
            }
        }
        Self { means, deviations }
    }

    fn apply<'a>(&'a self, x: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        x.iter().zip(&self.means).zip(&self.deviations).map(|((x, mean), deviation)| (f64::from(*x) - mean) / deviation)
    }

    /// The head on features as they are that equals this one on standardised features.
    fn fold_into(&self, weight: &[f64], bias: &[f64]) -> LinearHead {
        let mut head = LinearHead { weight: Vec::with_capacity(weight.len()), bias: Vec::with_capacity(bias.len()) };
        for (weight, bias) in weight.chunks_exact(self.means.len()).zip(bias) {
            let mut bias = *bias;
            for ((weight, mean), deviation) in weight.iter().zip(&self.means).zip(&self.deviations) {
                let weight = weight / deviation;
                bias -= weight * mean;
                head.weight.push(weight as f32);
            }
            head.bias.push(bias as f32);
        }
        head
    }
}
