//! What is compared: the stages of one run, or the reported models of several.

use super::view::RunView;
use crate::record::Results;
use crate::training::SplitResult;

/// One column of the comparison.
#[derive(Debug, Clone)]
pub(super) struct Column<'a> {
    /// Name for people.
    pub label: String,
    /// Class of the style sheet that gives its colour: `old` for the stage to improve on, else `new`.
    pub tone: &'static str,
    /// Its figures on the test split.
    pub test: &'a SplitResult,
    /// Dataset that they belong to.
    pub dataset: &'a str,
}

/// The columns of a report: the stages of one run, or one column a run.
pub(super) fn columns(runs: &[RunView]) -> Vec<Column<'_>> {
    match runs {
        [run] if !run.results.stages.is_empty() => stages(&run.results),
        _ => runs
            .iter()
            .map(|run| Column {
                label: name(&run.results, runs),
                tone: "new",
                test: &run.results.test,
                dataset: &run.results.dataset,
            })
            .collect(),
    }
}

fn stages(results: &Results) -> Vec<Column<'_>> {
    let last = results.stages.len().saturating_sub(1);
    results
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| Column {
            label: stage.title.clone(),
            tone: tone(index, last),
            test: &stage.test,
            dataset: &results.dataset,
        })
        .collect()
}

/// The colour of a stage: the last one is what the run is about.
pub(super) fn tone(index: usize, last: usize) -> &'static str {
    if index == last { "new" } else { "old" }
}

/// Name of a run: method and seed, and what else differs between the runs.
pub(super) fn name(results: &Results, runs: &[RunView]) -> String {
    let differs = |get: &dyn Fn(&Results) -> String| runs.iter().any(|other| get(&other.results) != get(results));
    let mut parts = Vec::new();
    if differs(&|r| r.dataset.clone()) {
        parts.push(results.dataset.clone());
    }
    parts.push(results.method.clone());
    if differs(&|r| r.model.clone()) {
        parts.push(results.model.clone());
    }
    parts.push(format!("seed {}", results.seed));
    parts.join(", ")
}
