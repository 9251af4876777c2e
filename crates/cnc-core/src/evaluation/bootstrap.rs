//! Is the difference between two models real?
//!
//! Paired bootstrap (Efron and Tibshirani 1993, chapter 16; Koehn 2004 for classifiers on one test set): the test set is
//! drawn anew many times, with replacement, and both models are scored on the same draw, so that samples which are hard
//! for both cancel. What is left is the spread of the difference over test sets; the spread over training runs needs
//! several seeds and is not part of it.
//!
//! Samples are drawn *within* sets of samples that belong to the same groups, so every group keeps its size. A group's
//! size in a test set is part of its design (Waterbirds' is balanced) and no group can come out empty, which for the
//! worst group, a minimum, would change what is being measured. Where groups overlap, the samples that share all of their
//! groups are such a set; those in no group are one as well.

use std::collections::BTreeMap;

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::metrics::Evaluation;
use crate::draws::below;
use crate::error::{Error, Result};
use crate::groups::Groups;

/// Share of the draws outside of an interval, half of it on either side.
const OUTSIDE: f64 = 0.05;

/// A difference of two accuracies, first model less second, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// On the test set as it is.
    pub observed: f64,
    /// Mean over the draws.
    pub mean: f64,
    /// 2.5 % of the draws are below.
    pub low: f64,
    /// 2.5 % of the draws are above.
    pub high: f64,
    /// How often a difference as far from zero would come up if there were none: twice the share of draws on the other
    /// side of zero (or on it), counting one more draw there so that it is never 0; at most 1.
    pub p: f64,
}

/// The differences of two models on one test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Of the plain averages.
    pub average: Difference,
    /// Of the worst groups' accuracies, each model's own worst group; `None` when no group has samples.
    pub worst_group: Option<Difference>,
}

/// The predictions of two models on one test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoModels<'a> {
    /// The class of each row.
    pub labels: &'a [u32],
    /// The class of each row by either model, of which the second is taken from the first.
    pub predictions: [&'a [u32]; 2],
    /// The groups of which the worst counts.
    pub groups: &'a Groups,
}

/// How many test sets two models are compared on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairedBootstrap {
    /// Draws of a test set.
    pub draws: usize,
}

impl PairedBootstrap {
    /// Compares the predictions of two models, first less second.
    ///
    /// # Errors
    /// [`Error::NoSamples`]; [`Error::Lengths`] when labels, predictions and groups are not of the same number of rows;
    /// [`Error::TooManyRows`]; [`Error::ZeroSize`] when there are no draws.
    pub fn compare<R: RngCore + ?Sized>(&self, samples: &TwoModels<'_>, rng: &mut R) -> Result<PairedDifference> {
        Ok(self.draw(samples, rng)?.differences())
    }

    /// The same, before the draws are summed up: for the mean over several seeds.
    ///
    /// # Errors
    /// As [`compare`](Self::compare).
    pub fn draw<R: RngCore + ?Sized>(&self, samples: &TwoModels<'_>, rng: &mut R) -> Result<DrawnDifferences> {
        let &Self { draws } = self;
        let &TwoModels { labels, predictions, groups } = samples;
        if labels.is_empty() {
            return Err(Error::NoSamples);
        }
        if u32::try_from(labels.len()).is_err() {
            return Err(Error::TooManyRows { rows: labels.len() });
        }
        if draws == 0 {
            return Err(Error::ZeroSize { option: "draws" });
        }
        let observed = predictions.map(|predictions| Evaluation::new(labels, predictions, groups));
        let [a, b] = observed;
        let sizes = groups.sizes();
        let (a, b) = (Score::of(&a?), Score::of(&b?));
        let strata = strata(samples);

        let (mut averages, mut worsts) = (Vec::with_capacity(draws), Vec::with_capacity(draws));
        for _ in 0..draws {
            let mut right = [0usize; 2];
            let mut of_groups = vec![[0usize; 2]; sizes.len()];
            for stratum in &strata {
                let drawn = stratum.draw(rng);
                for (right, drawn) in right.iter_mut().zip(drawn) {
                    *right += drawn;
                }
                for &group in &stratum.groups {
                    if let Some(of_group) = of_groups.get_mut(group) {
                        of_group.iter_mut().zip(drawn).for_each(|(of_group, drawn)| *of_group += drawn);
                    }
                }
            }
            let [of_a, of_b] = right.map(|right| right as f64 / labels.len() as f64);
            averages.push(of_a - of_b);
            let mut worst = [f64::INFINITY; 2];
            for (of_group, &size) in of_groups.iter().zip(&sizes).filter(|&(_, &size)| size > 0) {
                for (worst, &right) in worst.iter_mut().zip(of_group) {
                    *worst = worst.min(right as f64 / size as f64);
                }
            }
            worsts.push(worst[0] - worst[1]);
        }
        let worst_group = a.worst_group.zip(b.worst_group).map(|(a, b)| Drawn { observed: a - b, draws: worsts });
        Ok(DrawnDifferences { average: Drawn { observed: a.average - b.average, draws: averages }, worst_group })
    }
}

/// The differences of two models on every draw of a test set.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnDifferences {
    average: Drawn,
    worst_group: Option<Drawn>,
}

impl DrawnDifferences {
    /// What the draws amount to.
    #[must_use]
    pub fn differences(self) -> PairedDifference {
        PairedDifference { average: self.average.difference(), worst_group: self.worst_group.map(Drawn::difference) }
    }

    /// The mean of the differences of several seeds, each drawn as often: every seed has test sets of its own. It is of the models that
    /// were trained: how far other seeds would differ is not in it. `None` without a seed; no worst group where one has none.
    #[must_use]
    pub fn mean(seeds: &[Self]) -> Option<PairedDifference> {
        let average = Drawn::mean(seeds.iter().map(|seed| Some(&seed.average)))?;
        let worst_group = Drawn::mean(seeds.iter().map(|seed| seed.worst_group.as_ref()));
        Some(PairedDifference { average: average.difference(), worst_group: worst_group.map(Drawn::difference) })
    }
}

/// A difference on the test set as it is, and on every draw.
#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    observed: f64,
    draws: Vec<f64>,
}

impl Drawn {
    fn difference(self) -> Difference {
        difference(self.observed, self.draws)
    }

    /// Draw by draw; `None` where one is missing, or all are.
    fn mean<'a>(all: impl Iterator<Item = Option<&'a Self>>) -> Option<Self> {
        let all = all.collect::<Option<Vec<&Self>>>()?;
        let (share, first) = (1.0 / all.len() as f64, all.first()?);
        let mut mean = Self { observed: 0.0, draws: vec![0.0; first.draws.len()] };
        for Self { observed, draws } in all {
            mean.observed += share * observed;
            mean.draws.iter_mut().zip(draws).for_each(|(mean, draw)| *mean += share * draw);
        }
        Some(mean)
    }
}

/// Holm's correction (1979) of p-values that are looked at together: what each would have to be held against 0.05 as, so that
/// the chance of any false alarm among them stays below it. In their order; at most 1.
///
/// ```
/// let corrected = cnc_core::evaluation::holm(&[0.01, 0.04, 0.03]);
/// assert!(corrected.iter().zip([0.03, 0.06, 0.06]).all(|(found, expected)| (found - expected).abs() < 1e-12));
/// ```
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut corrected = vec![1.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, (index, p)) in order.into_iter().enumerate() {
        largest = largest.max((corrected.len() - rank) as f64 * p).min(1.0);
        if let Some(corrected) = corrected.get_mut(index) {
            *corrected = largest;
        }
    }
    corrected
}

struct Score {
    average: f64,
    worst_group: Option<f64>,
}

impl Score {
    fn of(evaluation: &Evaluation) -> Self {
        let worst_group = evaluation.worst_group().and_then(|(_, accuracy)| accuracy.accuracy());
        Self { average: evaluation.average().accuracy().unwrap_or(0.0), worst_group }
    }
}

/// Samples that are in the same groups.
struct Stratum {
    groups: Vec<usize>,
    /// Whether either model is right, one entry a sample.
    right: Vec<[bool; 2]>,
}

impl Stratum {
    /// How many are right under either model of as many samples as there are, drawn with replacement.
    fn draw<R: RngCore + ?Sized>(&self, rng: &mut R) -> [usize; 2] {
        let size = u32::try_from(self.right.len()).unwrap_or(u32::MAX);
        let mut sums = [0; 2];
        for _ in 0..size {
            if let Some(right) = self.right.get(below(size, rng) as usize) {
                sums.iter_mut().zip(right).for_each(|(sum, right)| *sum += usize::from(*right));
            }
        }
        sums
    }
}

/// The samples by the groups that they are in. (A row that a group lists twice is in it twice.)
fn strata(samples: &TwoModels<'_>) -> Vec<Stratum> {
    let TwoModels { labels, predictions: [a, b], groups } = samples;
    let mut groups_of = vec![Vec::new(); labels.len()];
    for (group, rows) in groups.rows().iter().enumerate() {
        for &row in rows {
            if let Some(of_row) = groups_of.get_mut(row as usize) {
                of_row.push(group);
            }
        }
    }
    let mut strata = BTreeMap::<Vec<usize>, Vec<[bool; 2]>>::new();
    for (groups, (label, predictions)) in groups_of.into_iter().zip(labels.iter().zip(a.iter().zip(*b))) {
        strata.entry(groups).or_default().push([predictions.0 == label, predictions.1 == label]);
    }
    strata.into_iter().map(|(groups, right)| Stratum { groups, right }).collect()
}

fn difference(observed: f64, mut draws: Vec<f64>) -> Difference {
    draws.sort_by(f64::total_cmp);
    let number = draws.len() as f64;
    let quantile = |share: f64| draws.get((share * (number - 1.0)).round() as usize).copied().unwrap_or(observed);
    let (below, above) = draws
        .iter()
        .fold((0u32, 0u32), |(below, above), &draw| (below + u32::from(draw <= 0.0), above + u32::from(draw >= 0.0)));
    Difference {
        observed,
        mean: draws.iter().sum::<f64>() / number,
        low: quantile(OUTSIDE / 2.0),
        high: quantile(1.0 - OUTSIDE / 2.0),
        p: (2.0 * f64::from(below.min(above) + 1) / (number + 1.0)).min(1.0),
    }
}
