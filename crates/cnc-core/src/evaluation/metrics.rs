//! Accuracy by group.
//!
//! A model that relies on a spurious correlation is right on average and wrong on the groups that break it, so what
//! counts is the worst group. "Average accuracy" can mean several things; each has a name of its own here:
//!
//! | name | weight of a group |
//! |---|---|
//! | [`average`](Evaluation::average) | its samples in the evaluated split (plain: right ones over all) |
//! | [`adjusted_average`](Evaluation::adjusted_average) | its samples in the *training* split (Sagawa et al. 2020) |
//! | [`group_mean`](Evaluation::group_mean) | the same for every group |
//!
//! A group without samples has no accuracy: it is `None`, takes no part in a mean or a minimum, and is never 0 or NaN.

use serde::{Deserialize, Serialize};

use super::intervals::{Interval, Proportion};
use crate::error::{Error, Result};
use crate::groups::Groups;

/// Predictions of one split, counted by group and by class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    overall: Proportion,
    groups: Vec<Proportion>,
    classes: Vec<ClassAccuracy>,
    groups_overlap: bool,
    only_prediction: Option<u32>,
}

/// Accuracy over the samples of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// The class.
    pub class: u32,
    /// Its samples, and how many are predicted as it: its recall.
    pub accuracy: Proportion,
    /// The samples that are predicted as it, and how many are of it: its precision.
    pub precision: Proportion,
}

impl ClassAccuracy {
    /// The harmonic mean of precision and recall, in `[0, 1]`: 0 where the class is never predicted; `None` without samples.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let (samples, predicted) = (self.accuracy.count, self.precision.count);
        (samples > 0).then(|| 2.0 * self.accuracy.correct as f64 / (samples + predicted) as f64)
    }
}

impl Evaluation {
    /// Counts the predictions. Groups may overlap, be empty, and need not cover all rows.
    ///
    /// # Errors
    /// [`Error::Lengths`] when labels, predictions and groups are not of the same number of rows.
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// let groups = cnc_core::Groups::new([vec![0, 1], vec![2], vec![]], 3)?;
    /// let evaluation = cnc_core::Evaluation::new(&[0, 0, 1], &[0, 1, 1], &groups)?;
    /// assert_eq!(evaluation.worst_group().map(|(group, accuracy)| (group, accuracy.accuracy())), Some((0, Some(0.5))));
    /// assert_eq!(evaluation.groups()[2].accuracy(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(labels: &[u32], predictions: &[u32], groups: &Groups) -> Result<Self> {
        let (left, right) = (labels.len(), predictions.len());
        if left != right {
            return Err(Error::Lengths { left_name: "labels", left, right_name: "predictions", right });
        }
        groups.check_samples("labels", left)?;
        let right_rows: Vec<bool> =
            labels.iter().zip(predictions).map(|(label, prediction)| label == prediction).collect();
        let mut overall = Proportion::default();
        let mut by_class = std::collections::BTreeMap::<u32, Proportion>::new();
        let mut predicted = std::collections::BTreeMap::<u32, Proportion>::new();
        for ((&label, &prediction), &right) in labels.iter().zip(predictions).zip(&right_rows) {
            overall.add(right);
            by_class.entry(label).or_default().add(right);
            predicted.entry(prediction).or_default().add(right);
        }

        let mut seen = vec![false; right_rows.len()];
        let mut groups_overlap = false;
        let mut by_group = Vec::with_capacity(groups.rows().len());
        for rows in groups.rows() {
            let mut proportion = Proportion::default();
            for &row in rows {
                let at = row as usize;
                if let (Some(&right), Some(seen)) = (right_rows.get(at), seen.get_mut(at)) {
                    proportion.add(right);
                    groups_overlap |= std::mem::replace(seen, true);
                }
            }
            by_group.push(proportion);
        }
        let only_prediction =
            predictions.first().filter(|&first| predictions.iter().all(|prediction| prediction == first)).copied();
        let precision = |class: u32| predicted.get(&class).copied().unwrap_or_default();
        let counted = |(class, accuracy)| ClassAccuracy { class, accuracy, precision: precision(class) };
        let classes = by_class.into_iter().map(counted).collect();
        Ok(Self { overall, groups: by_group, classes, groups_overlap, only_prediction })
    }

    /// The plain average: right predictions over all of the split.
    #[must_use]
    pub fn average(&self) -> Proportion {
        self.overall
    }

    /// Each group, in the order given.
    #[must_use]
    pub fn groups(&self) -> &[Proportion] {
        &self.groups
    }

    /// Each class that has samples, ascending.
    #[must_use]
    pub fn classes(&self) -> &[ClassAccuracy] {
        &self.classes
    }

    /// Whether a row is in more than one group: then the groups' counts add up to more than the split.
    #[must_use]
    pub fn groups_overlap(&self) -> bool {
        self.groups_overlap
    }

    /// The class that *every* sample is predicted as, where there is one: the sign of a run that went wrong.
    #[must_use]
    pub fn only_prediction(&self) -> Option<u32> {
        self.only_prediction
    }

    /// Position and accuracy of the worst group that has samples, the first of equals; `None` when none has.
    #[must_use]
    pub fn worst_group(&self) -> Option<(usize, Proportion)> {
        worst(self.groups.iter().copied().enumerate())
    }

    /// Class and accuracy of the worst class, the first of equals; `None` when there are no samples.
    #[must_use]
    pub fn worst_class(&self) -> Option<(u32, Proportion)> {
        worst(self.classes.iter().map(|class| (class.class, class.accuracy)))
    }

    /// Class and precision of the class with the worst, among those that are predicted at all; `None` without predictions.
    #[must_use]
    pub fn worst_precision(&self) -> Option<(u32, Proportion)> {
        worst(self.classes.iter().map(|class| (class.class, class.precision)))
    }

    /// Class and F1 of the class with the worst, the first of equals; `None` when there are no samples.
    #[must_use]
    pub fn worst_f1(&self) -> Option<(u32, f64)> {
        let scores = self.classes.iter().filter_map(|class| Some((class.class, class.f1()?)));
        scores.reduce(|least, next| if next.1 < least.1 { next } else { least })
    }

    /// Mean accuracy of the groups that have samples, each weighing the same; `None` when none has.
    #[must_use]
    pub fn group_mean(&self) -> Option<f64> {
        weighted_mean(self.groups.iter().map(|group| (*group, 1)))
    }

    /// Mean accuracy of the groups weighted by their number of *training* samples, for splits that are balanced by
    /// design as Waterbirds' are. Groups without samples in this split are left out; `None` when no weight is left.
    ///
    /// # Errors
    /// When there is not one count a group.
    pub fn adjusted_average(&self, training_counts: &[usize]) -> Result<Option<f64>> {
        let (left, right) = (self.groups.len(), training_counts.len());
        if left != right {
            return Err(Error::Lengths { left_name: "groups", left, right_name: "training counts", right });
        }
        Ok(weighted_mean(self.groups.iter().copied().zip(training_counts.iter().copied())))
    }
}

fn worst<K>(proportions: impl Iterator<Item = (K, Proportion)>) -> Option<(K, Proportion)> {
    // a/b < c/d as ad < cb: exact, and the first of equals stays.
    let less = |left: &Proportion, right: &Proportion| {
        (left.correct as u128) * (right.count as u128) < (right.correct as u128) * (left.count as u128)
    };
    proportions
        .filter(|(_, proportion)| proportion.count > 0)
        .reduce(|least, next| if less(&next.1, &least.1) { next } else { least })
}

fn weighted_mean(proportions: impl Iterator<Item = (Proportion, usize)>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for (proportion, weight) in proportions {
        if let Some(accuracy) = proportion.accuracy() {
            sum += accuracy * weight as f64;
            total += weight as f64;
        }
    }
    (total > 0.0).then(|| sum / total)
}

/// How often a prediction changes when nothing but the spurious attribute does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterfactualFlips {
    /// Images whose versions are not all predicted as the same class.
    pub flipped: usize,
    /// Images.
    pub images: usize,
}

impl CounterfactualFlips {
    /// Counts flips where every image is shown in `per_image` versions that differ in the attribute only, and
    /// `predictions` holds them one image after the other.
    ///
    /// # Errors
    /// [`Error::Counterfactuals`] when the predictions are not whole images, or `per_image` is 0.
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// let flips = cnc_core::evaluation::CounterfactualFlips::count(&[3, 3, 3, /* next image */ 1, 1, 4], 3)?;
    /// assert_eq!(flips.rate(), Some(0.5));
    /// # Ok(())
    /// # }
    /// ```
    pub fn count(predictions: &[u32], per_image: usize) -> Result<Self> {
        if per_image == 0 || !predictions.len().is_multiple_of(per_image) {
            return Err(Error::Counterfactuals { predictions: predictions.len(), per_image });
        }
        let images = predictions.chunks_exact(per_image);
        let flips = |image: &[u32]| image.windows(2).any(|pair| pair.first() != pair.last());
        Ok(Self { flipped: images.clone().filter(|image| flips(image)).count(), images: images.len() })
    }

    /// The share of images that flip, in [0, 1]; `None` when there are none.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.as_proportion().accuracy()
    }

    /// Wilson's 95 % interval of the rate; `None` when there are no images.
    #[must_use]
    pub fn wilson(&self) -> Option<Interval> {
        self.as_proportion().wilson()
    }

    fn as_proportion(self) -> Proportion {
        Proportion { correct: self.flipped, count: self.images }
    }
}
