//! Methods side by side over several seeds: means, deviations, and whether a difference is one.

use anyhow::Result;
use cnc_base::seeds::Seeds;
use cnc_core::evaluation::{DrawnDifferences, PairedBootstrap, PairedDifference, TwoModels, holm};
use serde::{Deserialize, Serialize};

use super::paper::{AverageKind, Paper, PaperFigures};
use super::series::TestSet;
use crate::methods::MethodInfo;
use crate::record::{FinishedRun, Results};

/// Test sets that are drawn to compare two methods: as many as Holm's correction over all pairs of fourteen methods needs to get
/// below 0.05.
const DRAWS: usize = 4000;

/// The whole comparison: `compare.json`. Accuracies are fractions in `[0, 1]`, those of papers are in %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Name of the dataset.
    pub dataset: String,
    /// Name of the model.
    pub model: String,
    /// The seeds of every method.
    pub seeds: Vec<u64>,
    /// How checkpoints, and settings of a grid, were chosen.
    pub selection_rule: String,
    /// What the deviations are.
    pub deviation: String,
    /// `--limit`, where one was given.
    pub limit: Option<usize>,
    /// What became of the weights that the runs started from.
    #[serde(default)]
    pub weights: Vec<String>,
    /// Where the published figures are from, and which average they are.
    pub paper: Option<(String, AverageKind)>,
    /// The methods in the order in which they were named.
    pub methods: Vec<MethodRow>,
    /// Every two methods.
    pub pairs: Vec<Pair>,
}

/// One method over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MethodRow {
    /// Name of the method.
    pub method: String,
    /// Name for people.
    pub title: String,
    /// The settings of a grid that were chosen on validation; none without a grid.
    pub set: Vec<String>,
    /// Which group labels were used, and what for.
    pub label_budget: String,
    /// Accuracy of the worst test group.
    pub worst_group: Option<Spread>,
    /// Plain average test accuracy.
    pub average: Option<Spread>,
    /// Adjusted average test accuracy.
    pub adjusted_average: Option<Spread>,
    /// Plain average less worst group.
    pub gap: Option<Spread>,
    /// The published figures, in %.
    pub paper: Option<PaperFigures>,
    /// Optimiser steps of a run, those of all stages.
    pub steps: Option<Spread>,
    /// Samples that their batches had.
    pub samples: Option<Spread>,
    /// Why a first stage of a run failed, with its seed.
    pub failures: Vec<String>,
    /// Wall clock of a run in seconds.
    pub duration_s: Option<Spread>,
    /// The most memory that any of the runs held, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// The runs, one a seed.
    pub runs: Vec<RunRow>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    /// Its seed.
    pub seed: u64,
    /// Name of its folder.
    pub folder: String,
    /// Epoch of the chosen checkpoint.
    pub epoch: f64,
    /// Optimiser step of the chosen checkpoint.
    pub step: u64,
    /// Optimiser steps of all stages.
    pub steps: u64,
    /// Samples that their batches had.
    pub samples: u64,
    /// Accuracy of the worst test group.
    pub worst_group: Option<f64>,
    /// Plain average test accuracy.
    pub average: f64,
    /// Adjusted average test accuracy.
    pub adjusted_average: Option<f64>,
    /// Wall clock in seconds.
    pub duration_s: f64,
}

/// Mean and standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation with n - 1; none for a single seed.
    pub deviation: Option<f64>,
}

/// Two methods on the same test sets, first less second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// Name of the first method.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// The differences by seed: each seed has its own test set, or its own draw of colours in it.
    pub seeds: Vec<PairedDifference>,
    /// The mean difference over the seeds.
    pub over_seeds: Option<PairedDifference>,
    /// Its p for the worst group, by Holm's correction for all pairs.
    pub worst_group_p: Option<f64>,
    /// Its p for the plain average, likewise.
    pub average_p: Option<f64>,
}

/// A method with its runs, one a seed.
pub(crate) struct MethodRuns {
    /// What is known of the method.
    pub info: MethodInfo,
    /// Settings of a grid that were chosen.
    pub set: Vec<String>,
    /// The runs.
    pub runs: Vec<FinishedRun>,
}

impl Spread {
    /// Of these values; none without a value.
    #[must_use]
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) })
    }

    /// Of these values, where all of them are there.
    fn of_all(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        values.collect::<Option<Vec<f64>>>().and_then(|values| Self::of(&values))
    }
}

/// Put the runs of all methods side by side. `tests` are the test sets of the seeds, in the order of every method's runs.
///
/// # Errors
/// When predictions are not of their test set.
pub(super) fn compare(methods: &[MethodRuns], tests: &[TestSet], paper: Option<&Paper>) -> Result<Comparison> {
    let first = methods.first().and_then(|method| method.runs.first()).map(FinishedRun::results).transpose()?;
    let text = |value: fn(&Results) -> &String| first.map(|results| value(results).clone()).unwrap_or_default();
    let mut pairs = Vec::new();
    for (index, one) in methods.iter().enumerate() {
        for other in methods.iter().skip(index + 1) {
            pairs.push(pair(one, other, tests)?);
        }
    }
    correct(&mut pairs);
    Ok(Comparison {
        dataset: text(|results| &results.dataset),
        model: text(|results| &results.model),
        seeds: methods.first().map_or(Ok(Vec::new()), |method| results(method, |results| results.seed))?,
        selection_rule: text(|results| &results.selection_rule),
        deviation: "standard deviation over seeds, with n - 1".to_owned(),
        limit: first.and_then(|results| results.limit),
        weights: first.map(|results| results.weights.clone()).unwrap_or_default(),
        paper: paper.map(|paper| (paper.source.clone(), paper.average)),
        methods: methods.iter().map(|method| row(method, paper)).collect::<Result<_>>()?,
        pairs,
    })
}

/// What the results of a method's runs say.
fn results<T>(method: &MethodRuns, said: impl Fn(&Results) -> T) -> Result<Vec<T>> {
    method.runs.iter().map(|run| Ok(said(run.results()?))).collect()
}

fn row(method: &MethodRuns, paper: Option<&Paper>) -> Result<MethodRow> {
    let runs: Vec<RunRow> = method.runs.iter().map(run_row).collect::<Result<_>>()?;
    let budgets = results(method, |results| results.label_budget.clone())?;
    let memory = results(method, |results| results.peak_memory_bytes)?;
    let failures = results(method, |results| {
        let failures = results.stages.iter().filter_map(|stage| stage.failure.as_ref());
        failures.map(|failure| format!("{}, seed {}: {failure}", method.info.title, results.seed)).collect::<Vec<_>>()
    })?;
    Ok(MethodRow {
        method: method.info.name.to_owned(),
        title: method.info.title.to_owned(),
        set: method.set.clone(),
        label_budget: budgets.into_iter().next().unwrap_or_default(),
        worst_group: Spread::of_all(runs.iter().map(|run| run.worst_group)),
        average: Spread::of_all(runs.iter().map(|run| Some(run.average))),
        adjusted_average: Spread::of_all(runs.iter().map(|run| run.adjusted_average)),
        gap: Spread::of_all(runs.iter().map(|run| Some(run.average - run.worst_group?))),
        paper: paper.and_then(|paper| paper.methods.get(method.info.name)).copied(),
        steps: Spread::of_all(runs.iter().map(|run| Some(run.steps as f64))),
        samples: Spread::of_all(runs.iter().map(|run| Some(run.samples as f64))),
        failures: failures.into_iter().flatten().collect(),
        duration_s: Spread::of_all(runs.iter().map(|run| Some(run.duration_s))),
        peak_memory_bytes: memory.into_iter().flatten().max(),
        runs,
    })
}

fn run_row(run: &FinishedRun) -> Result<RunRow> {
    let results = run.results()?;
    Ok(RunRow {
        seed: results.seed,
        folder: run.name(),
        epoch: results.selected.epoch,
        step: results.selected.step,
        steps: results.stages.iter().map(|stage| stage.steps).sum(),
        samples: results.stages.iter().map(|stage| stage.samples).sum(),
        worst_group: results.test.worst_group_accuracy,
        average: results.test.average_accuracy,
        adjusted_average: results.test.adjusted_average_accuracy,
        duration_s: results.duration_s,
    })
}

fn pair(one: &MethodRuns, other: &MethodRuns, tests: &[TestSet]) -> Result<Pair> {
    let (first, second) = (one.info.name.to_owned(), other.info.name.to_owned());
    let runs = one.runs.iter().zip(&other.runs).zip(tests);
    let drawn: Vec<DrawnDifferences> = runs
        .map(|((a, b), test)| {
            // The same draws for every pair of a seed.
            let mut draws = Seeds::new(a.results()?.seed).purpose("bootstrap").generator();
            let (a, b) = (a.predictions()?, b.predictions()?);
            let samples = TwoModels { labels: &test.labels, predictions: [&a, &b], groups: &test.groups };
            Ok(PairedBootstrap { draws: DRAWS }.draw(&samples, &mut draws)?)
        })
        .collect::<Result<_>>()?;
    let over_seeds = DrawnDifferences::mean(&drawn);
    let seeds = drawn.into_iter().map(DrawnDifferences::differences).collect();
    Ok(Pair { first, second, seeds, over_seeds, worst_group_p: None, average_p: None })
}

/// Correct the p of all pairs for there being so many.
fn correct(pairs: &mut [Pair]) {
    let of = |p: &dyn Fn(&PairedDifference) -> Option<f64>| -> Option<Vec<f64>> {
        let all: Option<Vec<f64>> = pairs.iter().map(|pair| p(pair.over_seeds.as_ref()?)).collect();
        all.map(|all| holm(&all))
    };
    let worst_group = of(&|difference| difference.worst_group.map(|worst| worst.p));
    let average = of(&|difference| Some(difference.average.p));
    for (index, pair) in pairs.iter_mut().enumerate() {
        let of_pair = |all: &Option<Vec<f64>>| all.as_ref().and_then(|all| all.get(index)).copied();
        (pair.worst_group_p, pair.average_p) = (of_pair(&worst_group), of_pair(&average));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample_and_a_single_seed_has_none() {
        let spread = Spread::of(&[0.7, 0.8, 0.9]).unwrap();
        assert!((spread.mean - 0.8).abs() < 1e-12 && (spread.deviation.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, deviation: None }));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of_all([Some(1.0), None].into_iter()), None);
    }
}
