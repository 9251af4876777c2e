//! What goes with a model's errors: whether they come with a property of the samples, class by class.
//!
//! Within a class, so that a property which only says the class explains nothing; and in each class by itself, because what
//! misleads a model about one class helps it with another: water behind a land bird, and behind a water bird.

use puruspe::gammq;
use serde::{Deserialize, Serialize};

use super::intervals::{Interval, Proportion};
use crate::error::{Error, Result};

/// Rows of a class with a value from which on the value counts by itself; rarer ones are put together.
const FEWEST: usize = 10;

/// A property of every sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Property<'a> {
    /// One of several values, by its number.
    Category(&'a [u32]),
    /// A number.
    Number(&'a [f64]),
}

/// How strongly errors come with a property.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Association {
    /// The statistic, distributed as chi-square where the two have nothing to do with each other.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub freedom: usize,
    /// How likely so large a statistic is then, in `[0, 1]`.
    pub p: f64,
    /// The size of the effect in `[0, 1]`: the root of the mean square contingency, less what chance makes of it (Bergsma 2013).
    pub effect: f64,
}

/// Samples of a class that have a value of a property, beside those of the class that have not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The class.
    pub class: u32,
    /// The value of a category; of a number the median of the class, above which the samples are.
    pub value: f64,
    /// Errors among those that have it: `correct` counts the wrong ones.
    pub with: Proportion,
    /// Errors among the others.
    pub without: Proportion,
}

impl Contrast {
    /// How much more often the model errs with the value than without, in `[-1, 1]`; `None` where one side is empty.
    #[must_use]
    pub fn difference(&self) -> Option<f64> {
        Some(self.with.accuracy()? - self.without.accuracy()?)
    }

    /// The 95 % interval of the difference, from Wilson's of both sides (Newcombe 1998, method 10).
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        let (with, without) = (self.with.accuracy()?, self.without.accuracy()?);
        let (of_with, of_without) = (self.with.wilson()?, self.without.wilson()?);
        let difference = with - without;
        Some(Interval {
            low: difference - (with - of_with.low).hypot(of_without.high - without),
            high: difference + (of_with.high - with).hypot(without - of_without.low),
        })
    }

    /// The difference over its standard error where there is none.
    fn score(&self) -> f64 {
        let (a, b) = (self.with, self.without);
        let all = (a.count + b.count) as f64;
        let rate = (a.correct + b.correct) as f64 / all;
        let error = (rate * (1.0 - rate) * (1.0 / a.count as f64 + 1.0 / b.count as f64)).sqrt();
        self.difference().map_or(0.0, |difference| difference.abs() / error.max(f64::MIN_POSITIVE))
    }
}

/// The samples that are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Errors<'a> {
    /// Whether the model errs, a sample.
    pub wrong: &'a [bool],
    /// The class of each.
    pub labels: &'a [u32],
    /// The samples that count.
    pub rows: &'a [u32],
}

impl Errors<'_> {
    /// The rows of each class of which some are wrong and some are right, ascending.
    fn by_class(&self) -> Vec<(u32, Vec<usize>)> {
        let mut classes = std::collections::BTreeMap::<u32, Vec<usize>>::new();
        for row in self.rows.iter().map(|row| *row as usize) {
            if let Some(label) = self.labels.get(row) {
                classes.entry(*label).or_default().push(row);
            }
        }
        let is_mixed = |rows: &[usize]| {
            let wrong = rows.iter().filter(|row| self.is_wrong(**row)).count();
            0 < wrong && wrong < rows.len()
        };
        classes.into_iter().filter(|(_, rows)| is_mixed(rows)).collect()
    }

    fn is_wrong(&self, row: usize) -> bool {
        self.wrong.get(row).copied().unwrap_or(false)
    }

    fn errors(&self, rows: impl Iterator<Item = usize>) -> Proportion {
        let mut errors = Proportion::default();
        rows.for_each(|row| errors.add(self.is_wrong(row)));
        errors
    }

    fn check(&self, property: &Property<'_>) -> Result<()> {
        let samples = self.labels.len();
        let (values, finite) = match property {
            Property::Category(values) => (values.len(), None),
            Property::Number(values) => (values.len(), values.iter().position(|value| !value.is_finite())),
        };
        for (left_name, left) in [("properties", values), ("errors", self.wrong.len())] {
            if left != samples {
                return Err(Error::Lengths { left_name, left, right_name: "labels", right: samples });
            }
        }
        if let (Some(row), Property::Number(values)) = (finite, property) {
            let value = values.get(row).copied().unwrap_or(f64::NAN);
            return Err(Error::NotFiniteRow { what: "the property", row, value });
        }
        match self.rows.iter().find(|row| **row as usize >= samples) {
            Some(row) => Err(Error::RowOutOfRange { what: "the samples that count", row: *row, rows: samples }),
            None => Ok(()),
        }
    }

    /// How strongly errors come with a property: within each class Pearson's chi-square of value and error, or of a number's ranks
    /// and error (Wilcoxon), with the variances of a permutation; then the sum over classes.
    ///
    /// # Errors
    /// When there is not one value a sample, a number is not finite, or a row that counts is not there.
    pub fn association(&self, property: &Property<'_>) -> Result<Association> {
        self.check(property)?;
        let (mut statistic, mut freedom, mut samples) = (0.0, 0, 0);
        for (_, rows) in self.by_class() {
            let (of_class, free) = match property {
                Property::Category(values) => self.of_categories(&rows, values),
                Property::Number(values) => self.of_ranks(&rows, values),
            };
            statistic += of_class;
            freedom += free;
            samples += rows.len();
        }
        let (n, free) = (samples.max(1) as f64, freedom as f64);
        let p = if freedom == 0 { 1.0 } else { gammq(free / 2.0, statistic / 2.0) };
        Ok(Association { statistic, freedom, p, effect: ((statistic - free).max(0.0) / n).sqrt().min(1.0) })
    }

    fn of_categories(&self, rows: &[usize], values: &[u32]) -> (f64, usize) {
        let all = self.errors(rows.iter().copied());
        let mut by_value = std::collections::BTreeMap::<Option<u32>, Proportion>::new();
        for (value, errors) in self.by_value(rows, values) {
            let kept = Some(value).filter(|_| errors.count >= FEWEST);
            let sum = by_value.entry(kept).or_default();
            *sum = Proportion { correct: sum.correct + errors.correct, count: sum.count + errors.count };
        }
        let rate = all.correct as f64 / all.count as f64;
        let term = |errors: &Proportion| {
            let expected = errors.count as f64 * rate;
            (errors.correct as f64 - expected).powi(2) / (expected * (1.0 - rate))
        };
        let sum: f64 = by_value.values().map(term).sum();
        (sum * (all.count - 1) as f64 / all.count as f64, by_value.len() - 1)
    }

    fn by_value(&self, rows: &[usize], values: &[u32]) -> std::collections::BTreeMap<u32, Proportion> {
        let mut by_value = std::collections::BTreeMap::<u32, Proportion>::new();
        for row in rows {
            if let Some(value) = values.get(*row) {
                by_value.entry(*value).or_default().add(self.is_wrong(*row));
            }
        }
        by_value
    }

    fn of_ranks(&self, rows: &[usize], values: &[f64]) -> (f64, usize) {
        let mut sorted: Vec<(f64, bool)> =
            rows.iter().filter_map(|row| Some((*values.get(*row)?, self.is_wrong(*row)))).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let n = sorted.len() as f64;
        let (mut before, mut of_wrong, mut squares, mut wrong) = (0.0, 0.0, 0.0, 0.0);
        for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
            let size = equal.len() as f64;
            // Equal values share the middle of their ranks, here from the middle of all.
            let rank = before + (size + 1.0) / 2.0 - (n + 1.0) / 2.0;
            let errors = equal.iter().filter(|(_, wrong)| *wrong).count() as f64;
            of_wrong += errors * rank;
            squares += size * rank * rank;
            wrong += errors;
            before += size;
        }
        let variance = wrong * (n - wrong) / (n * (n - 1.0)) * squares;
        if variance > 0.0 { (of_wrong * of_wrong / variance, 1) } else { (0.0, 0) }
    }

    /// The contrasts of a property, class by class, the clearest first.
    ///
    /// # Errors
    /// As [`association`](Self::association).
    pub fn contrasts(&self, property: &Property<'_>) -> Result<Vec<Contrast>> {
        self.check(property)?;
        let mut contrasts = Vec::new();
        for (class, rows) in self.by_class() {
            let all = self.errors(rows.iter().copied());
            let contrast = |value: f64, with: Proportion| {
                let without = Proportion { correct: all.correct - with.correct, count: all.count - with.count };
                (with.count >= FEWEST && without.count > 0).then_some(Contrast { class, value, with, without })
            };
            match property {
                Property::Category(values) => {
                    let by_value = self.by_value(&rows, values).into_iter();
                    contrasts.extend(by_value.filter_map(|(value, errors)| contrast(f64::from(value), errors)));
                }
                Property::Number(values) => {
                    let mut sorted: Vec<f64> = rows.iter().filter_map(|row| values.get(*row)).copied().collect();
                    sorted.sort_unstable_by(f64::total_cmp);
                    let Some(median) = sorted.get(sorted.len() / 2).copied() else { continue };
                    let above =
                        rows.iter().copied().filter(|row| values.get(*row).is_some_and(|value| *value > median));
                    contrasts.extend(contrast(median, self.errors(above)));
                }
            }
        }
        contrasts.sort_by(|a, b| b.score().total_cmp(&a.score()));
        Ok(contrasts)
    }
}
