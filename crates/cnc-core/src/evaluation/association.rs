//! What goes with a model's errors: whether they come with a property of the samples, class by class.
//!
//! Within a class, so that a property which only says the class explains nothing; and in each class by itself, because what
//! misleads a model about one class helps it with another: water behind a land bird, and behind a water bird.

use puruspe::gammq;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::intervals::{Interval, Proportion};
use crate::draws::below;
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
    /// The value of a category; of a number what the samples are above: the median of the class, or the value below its maximum
    /// where more than half have that.
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
    /// and error (Wilcoxon), with the variances of a permutation; then the sum over classes. Where a value would have few errors by
    /// chance, p is that of errors drawn again within the classes, not of the chi-square distribution, which such a sum has not.
    ///
    /// # Errors
    /// When there is not one value a sample, a number is not finite, or a row that counts is not there.
    pub fn association(&self, property: &Property<'_>, rng: &mut impl RngCore) -> Result<Association> {
        self.check(property)?;
        let mut classes: Vec<OfClass> = self
            .by_class()
            .into_iter()
            .map(|(_, rows)| {
                let wrong = rows.iter().map(|row| self.is_wrong(*row)).collect();
                match property {
                    Property::Category(values) => OfClass::of_values(&picked(&rows, values), wrong),
                    Property::Number(values) => OfClass::of_numbers(&picked(&rows, values), wrong),
                }
            })
            .collect();
        let statistic: f64 = classes.iter().map(OfClass::observed).sum();
        let freedom: usize = classes.iter().map(OfClass::freedom).sum();
        let samples: usize = classes.iter().map(|class| class.wrong.len()).sum();
        let (n, free) = (samples.max(1) as f64, freedom as f64);
        let p = if freedom == 0 {
            1.0
        } else if classes.iter().any(OfClass::is_sparse) {
            drawn_again(&mut classes, statistic, rng)
        } else {
            gammq(free / 2.0, statistic / 2.0)
        };
        Ok(Association { statistic, freedom, p, effect: ((statistic - free).max(0.0) / n).sqrt().min(1.0) })
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
                    let Some(cut) = cut(&sorted) else { continue };
                    let above = rows.iter().copied().filter(|row| values.get(*row).is_some_and(|value| *value > cut));
                    contrasts.extend(contrast(cut, self.errors(above)));
                }
            }
        }
        contrasts.sort_by(|a, b| b.score().total_cmp(&a.score()));
        Ok(contrasts)
    }
}

/// Where the numbers of a class, ascending, are divided.
fn cut(sorted: &[f64]) -> Option<f64> {
    let median = *sorted.get(sorted.len() / 2)?;
    let above = sorted.iter().filter(|value| **value > median).count();
    if above >= FEWEST { Some(median) } else { sorted.iter().rev().find(|value| **value < median).copied() }
}

fn picked<T: Copy>(rows: &[usize], values: &[T]) -> Vec<T> {
    rows.iter().filter_map(|row| values.get(*row)).copied().collect()
}

/// Errors that a value, or a side, would have to have by chance for the chi-square distribution to hold (Cochran 1954).
const EXPECTED: f64 = 5.0;
/// Times that errors are drawn again at most.
const DRAWS: u32 = 9_999;
/// Draws as extreme as the errors after which p is known well enough (Besag and Clifford 1991).
const ENOUGH: u32 = 100;

/// What the samples of a class have, and which are wrong.
struct OfClass {
    wrong: Vec<bool>,
    cells: Cells,
    /// Places of all samples, in whatever order.
    order: Vec<u32>,
    /// Wrong ones or right ones, whichever are fewer: the statistic is the same of both.
    fewer: usize,
}

enum Cells {
    /// Each sample's value, of which there are so many.
    Values { of: Vec<u32>, counts: Vec<f64> },
    /// Each sample's rank, from the middle, and the sum of their squares.
    Ranks { of: Vec<f64>, squares: f64 },
}

impl OfClass {
    fn new(wrong: Vec<bool>, cells: Cells) -> Self {
        let errors = wrong.iter().filter(|wrong| **wrong).count();
        let (order, fewer) = ((0..wrong.len() as u32).collect(), errors.min(wrong.len() - errors));
        Self { wrong, cells, order, fewer }
    }

    /// Values that few samples have are put together.
    fn of_values(values: &[u32], wrong: Vec<bool>) -> Self {
        let mut sizes = std::collections::BTreeMap::<u32, usize>::new();
        values.iter().for_each(|value| *sizes.entry(*value).or_default() += 1);
        let kept: std::collections::BTreeMap<u32, u32> =
            sizes.iter().filter(|(_, size)| **size >= FEWEST).map(|(value, _)| *value).zip(0..).collect();
        let of: Vec<u32> = values.iter().map(|value| kept.get(value).copied().unwrap_or(kept.len() as u32)).collect();
        let mut counts = vec![0.0; kept.len() + usize::from(kept.len() < sizes.len())];
        for place in &of {
            if let Some(count) = counts.get_mut(*place as usize) {
                *count += 1.0;
            }
        }
        Self::new(wrong, Cells::Values { of, counts })
    }

    fn of_numbers(values: &[f64], wrong: Vec<bool>) -> Self {
        let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let middle = (order.len() as f64 + 1.0) / 2.0;
        let (mut of, mut before) = (vec![0.0; order.len()], 0.0);
        for equal in order.chunk_by(|a, b| a.1 == b.1) {
            // Equal values share the middle of their ranks.
            let rank = before + (equal.len() as f64 + 1.0) / 2.0 - middle;
            for (place, _) in equal {
                if let Some(slot) = of.get_mut(*place) {
                    *slot = rank;
                }
            }
            before += equal.len() as f64;
        }
        let squares = of.iter().map(|rank| rank * rank).sum();
        Self::new(wrong, Cells::Ranks { of, squares })
    }

    fn freedom(&self) -> usize {
        match &self.cells {
            Cells::Values { counts, .. } => counts.len().saturating_sub(1),
            Cells::Ranks { squares, .. } => usize::from(*squares > 0.0),
        }
    }

    /// Whether something would have few errors, or few right answers, by chance.
    fn is_sparse(&self) -> bool {
        let share = self.fewer as f64 / self.wrong.len() as f64;
        match &self.cells {
            Cells::Values { counts, .. } => counts.iter().any(|count| count * share < EXPECTED),
            Cells::Ranks { .. } => (self.fewer as f64) < EXPECTED,
        }
    }

    /// The statistic of the errors as they are.
    fn observed(&self) -> f64 {
        let errors = self.wrong.iter().filter(|wrong| **wrong).count();
        let is_error = errors == self.fewer;
        let few = self.wrong.iter().zip(0..).filter(|(wrong, _)| **wrong == is_error).map(|(_, place)| place);
        self.statistic(few)
    }

    /// The statistic where these samples, as many as there are of the fewer kind, are of it.
    fn statistic(&self, few: impl Iterator<Item = u32>) -> f64 {
        let n = self.wrong.len() as f64;
        let share = self.fewer as f64 / n;
        match &self.cells {
            Cells::Values { of, counts } => {
                let mut found = vec![0.0; counts.len()];
                for place in few.filter_map(|place| of.get(place as usize)) {
                    if let Some(sum) = found.get_mut(*place as usize) {
                        *sum += 1.0;
                    }
                }
                let term = |(found, count): (&f64, &f64)| {
                    let expected = count * share;
                    (found - expected).powi(2) / (expected * (1.0 - share))
                };
                found.iter().zip(counts).map(term).sum::<f64>() * (n - 1.0) / n
            }
            Cells::Ranks { of, squares } if *squares > 0.0 => {
                let sum: f64 = few.filter_map(|place| of.get(place as usize)).sum();
                sum * sum / (n * share * (1.0 - share) * squares / (n - 1.0))
            }
            Cells::Ranks { .. } => 0.0,
        }
    }

    /// The statistic of as many errors at random.
    fn drawn(&mut self, rng: &mut impl RngCore) -> f64 {
        let all = self.order.len();
        for place in 0..self.fewer {
            self.order.swap(place, place + below((all - place) as u32, rng) as usize);
        }
        self.statistic(self.order.iter().take(self.fewer).copied())
    }
}

/// The share of draws of the errors within the classes whose statistic is as large.
fn drawn_again(classes: &mut [OfClass], statistic: f64, rng: &mut impl RngCore) -> f64 {
    let (mut drawn, mut as_large) = (0, 0);
    // Sums of the same terms in another order differ by rounding.
    let least = statistic * (1.0 - 1e-9);
    while drawn < DRAWS && as_large < ENOUGH {
        drawn += 1;
        let sum: f64 = classes.iter_mut().map(|class| class.drawn(rng)).sum();
        as_large += u32::from(sum >= least);
    }
    if as_large == ENOUGH {
        f64::from(as_large) / f64::from(drawn)
    } else {
        f64::from(as_large + 1) / f64::from(drawn + 1)
    }
}
