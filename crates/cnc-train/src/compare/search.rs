//! Combinations of settings, and which of them is the best on validation.

use std::path::Path;

use anyhow::Result;
use cnc_base::files::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::UsageError;
use crate::methods::GroupLabels;
use crate::record::{FinishedRun, Results};
use crate::report::format::plain_percent;
use crate::report::table;
use crate::run::job::Job;

/// One combination and its figures on validation: `trials.json` is a list of them. Test figures have no place here, so
/// that nothing can be chosen by them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// The settings, as `key=value`.
    pub set: Vec<String>,
    /// Names of the folders of its runs, one a seed.
    pub runs: Vec<String>,
    /// The metric on validation that the selection rule maximises.
    pub metric: String,
    /// Its mean over the runs.
    pub value: f64,
    /// Plain average accuracy on validation, mean over the runs: decides between equal values of the metric.
    pub average_accuracy: f64,
    /// Whether it is the one that was chosen.
    pub chosen: bool,
}

impl Trial {
    /// The trial of these runs.
    ///
    /// # Errors
    /// When their results cannot be read.
    pub(super) fn new(set: Vec<String>, runs: &[FinishedRun]) -> Result<Self> {
        let results: Vec<&Results> = runs.iter().map(FinishedRun::results).collect::<Result<_, _>>()?;
        let mean = |value: fn(&Results) -> f64| {
            results.iter().map(|results| value(results)).sum::<f64>() / results.len().max(1) as f64
        };
        Ok(Self {
            set,
            runs: runs.iter().map(FinishedRun::name).collect(),
            metric: results.first().map(|results| results.selected.metric.clone()).unwrap_or_default(),
            value: mean(|results| results.selected.value),
            average_accuracy: mean(|results| results.val.average_accuracy),
            chosen: false,
        })
    }
}

/// Mark the best trial, the first of equals, and give its position.
pub(super) fn choose(trials: &mut [Trial]) -> usize {
    let mut best = 0;
    for (index, trial) in trials.iter().enumerate() {
        if trials.get(best).is_some_and(|b| (trial.value, trial.average_accuracy) > (b.value, b.average_accuracy)) {
            best = index;
        }
    }
    if let Some(trial) = trials.get_mut(best) {
        trial.chosen = true;
    }
    best
}

/// All combinations of axes like `temperature=0.05,0.1`, each a list of `key=value`; without axes a single empty one.
///
/// # Errors
/// When an axis has no key or no value.
pub(crate) fn combinations(axes: &[String]) -> Result<Vec<Vec<String>>, UsageError> {
    let mut all = vec![Vec::new()];
    for axis in axes {
        let parts = axis.split_once('=').filter(|(key, _)| !key.trim().is_empty());
        let values: Vec<&str> = parts.iter().flat_map(|(_, values)| values.split(',')).map(str::trim).collect();
        let (Some((key, _)), false) = (parts, values.is_empty() || values.contains(&"")) else {
            return Err(UsageError(format!(
                "--grid {axis}: expected key=value,value, for example --grid temperature=0.05,0.1"
            )));
        };
        let with = |set: &Vec<String>, value: &str| [set.clone(), vec![format!("{}={value}", key.trim())]].concat();
        all = all.iter().flat_map(|set| values.iter().map(move |value| with(set, value))).collect();
    }
    Ok(all)
}

/// Refuse a search that validation cannot decide: of a method that is fitted to the validation split, or over a setting that
/// does nothing in any of the combinations.
///
/// # Errors
/// The message names the method or the setting.
pub(crate) fn check_axes<'a>(trials: impl Iterator<Item = (&'a Job, &'a [String])> + Clone) -> Result<(), UsageError> {
    let Some((job, set)) = trials.clone().next().filter(|(_, set)| !set.is_empty()) else { return Ok(()) };
    let name = job.info.name;
    if matches!(job.info.groups, GroupLabels::Validation | GroupLabels::ValidationClasses) {
        return Err(UsageError(format!(
            "--grid {}: method `{name}` is fitted to the validation split, so its figures there choose what fits these samples \
             best, not what holds for others\n  hint: give one value with --set, or train one run a value and hold out data \
             of your own to choose by",
            set.join(" ")
        )));
    }
    for key in set.iter().filter_map(|text| text.split_once('=')).map(|(key, _)| key) {
        let mut of_key = trials.clone().map(|(job, _)| job.idle.iter().find(|idle| idle.name == key));
        if let Some(Some(idle)) = of_key.next()
            && of_key.all(|idle| idle.is_some())
        {
            return Err(UsageError(format!("--grid {key}: all of its trials are the same: {}", idle.sentence())));
        }
    }
    Ok(())
}

/// A folder's name for a combination.
#[must_use]
pub(crate) fn folder_name(set: &[String]) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || ",.=_-".contains(c) { c } else { '_' };
    set.join(",").chars().map(safe).collect()
}

/// Name of the file with all trials.
const TRIALS: &str = "trials.json";

/// Keep the figures of all trials.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_trials<T: serde::Serialize + ?Sized>(folder: &Path, trials: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(trials)?;
    text.push('\n');
    Ok(write_atomically(&folder.join(TRIALS), text.as_bytes())?)
}

/// The trials as plain text.
pub(crate) fn list(trials: &[Trial]) -> String {
    let chosen = trials.iter().find(|trial| trial.chosen);
    let is_equal = |a: &Trial, b: &Trial| (a.value, a.average_accuracy) == (b.value, b.average_accuracy);
    let mut rows = vec![["settings", "validation metric", "average", ""].map(str::to_owned).to_vec()];
    rows.extend(trials.iter().map(|trial| {
        vec![
            trial.set.join(" "),
            plain_percent(Some(trial.value)),
            plain_percent(Some(trial.average_accuracy)),
            match chosen {
                _ if trial.chosen => "chosen".to_owned(),
                Some(chosen) if is_equal(chosen, trial) => "equal".to_owned(),
                _ => String::new(),
            },
        ]
    }));
    let equals = trials.iter().filter(|trial| chosen.is_some_and(|chosen| is_equal(chosen, trial))).count();
    let tie = match equals {
        0 | 1 => String::new(),
        _ => format!(
            "{equals} of {} trials are equal on validation: the first of them is taken, not a better one\n",
            trials.len()
        ),
    };
    let metric = trials.first().map(|trial| trial.metric.as_str()).unwrap_or_default();
    format!(
        "{}\n{tie}the metric is {metric} on validation, in %; test figures choose nothing\n",
        table::aligned(&rows, table::NO_RULE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(value: f64, average_accuracy: f64) -> Trial {
        Trial { set: vec![], runs: vec![], metric: String::new(), value, average_accuracy, chosen: false }
    }

    #[test]
    fn every_value_meets_every_other() {
        let axes = ["a=1,2".to_owned(), "b.c=x, y".to_owned()];
        let expected = [["a=1", "b.c=x"], ["a=1", "b.c=y"], ["a=2", "b.c=x"], ["a=2", "b.c=y"]];
        assert_eq!(combinations(&axes).unwrap(), expected);
        assert_eq!(combinations(&[]).unwrap(), [Vec::<String>::new()]);
        assert_eq!(folder_name(&["a=1".to_owned(), "b.c=x/y".to_owned()]), "a=1,b.c=x_y");
    }

    #[test]
    fn an_axis_without_values_is_refused() {
        for axis in ["a", "=1", "a=", "a=1,,2"] {
            let message = combinations(&[axis.to_owned()]).unwrap_err().to_string();
            assert!(message.contains(axis) && message.contains("expected key=value,value"), "{message}");
        }
    }

    #[test]
    fn the_best_on_validation_is_chosen_and_the_average_decides_between_equals() {
        let mut trials = [trial(0.5, 0.9), trial(0.6, 0.7), trial(0.6, 0.8), trial(0.6, 0.8)];
        assert_eq!(choose(&mut trials), 2);
        assert_eq!(trials.map(|trial| trial.chosen), [false, false, true, false]);
    }
}
