//! `cnc-train <dataset> --grid`: a run for every combination of settings; the best on validation is reported.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cnc_nn::files::write_atomically;

use super::series::{Planned, obtain, open};
use super::train::{Arguments, configure, default_folder, stop_on_signal};
use crate::grid::{Trial, choose, combinations, folder_name};
use crate::say::{note, result};
use crate::table;

/// Name of the file with all trials.
const TRIALS: &str = "trials.json";

/// Train every combination, and print the table of the best.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let sets = combinations(&arguments.grid)?;
    let path = match &arguments.out {
        Some(path) => path.clone(),
        None => {
            let (job, manifest) = configure(arguments)?;
            let run = default_folder(manifest.name(), &job.config);
            PathBuf::from(format!("{}-grid", run.display()))
        }
    };
    // All settings are checked before the first run starts.
    let planned: Vec<Planned> = sets
        .iter()
        .map(|set| {
            let mut arguments = arguments.clone();
            arguments.options.set.extend(set.iter().cloned());
            Planned::new(&arguments, path.join(folder_name(set)))
        })
        .collect::<Result<_>>()?;
    let stop = stop_on_signal()?;
    let planned_count = planned.len();
    let mut opened = None;
    let (mut trials, mut finished) = (Vec::new(), Vec::new());
    for (index, (set, planned)) in sets.into_iter().zip(&planned).enumerate() {
        note!("\ntrial {} of {}: {}", index + 1, planned_count, set.join(" "));
        let dataset = open(opened.take(), planned)?;
        let run = obtain(planned, &dataset, &stop)?;
        opened = Some(dataset);
        trials.push(Trial::new(set, &[(&run.folder, &run.results)]));
        finished.push(run);
    }
    let best = choose(&mut trials);
    write_trials(&path, &trials)?;
    let run = finished.get(best).context("a grid has at least one trial")?;
    result!("{}", list(&trials));
    result!("{}", table::text(&run.results));
    result!("report: {}", path.join(&run.folder).join("report.html").display());
    Ok(())
}

/// Keep the figures of all trials.
pub(super) fn write_trials<T: serde::Serialize + ?Sized>(folder: &Path, trials: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(trials)?;
    text.push('\n');
    Ok(write_atomically(&folder.join(TRIALS), text.as_bytes())?)
}

/// The trials as plain text.
pub(super) fn list(trials: &[Trial]) -> String {
    let mut rows = vec![["settings", "validation metric", "average", ""].map(str::to_owned).to_vec()];
    rows.extend(trials.iter().map(|trial| {
        vec![
            trial.set.join(" "),
            format!("{:.1}", 100.0 * trial.value),
            format!("{:.1}", 100.0 * trial.average_accuracy),
            if trial.chosen { "chosen".to_owned() } else { String::new() },
        ]
    }));
    let metric = trials.first().map(|trial| trial.metric.as_str()).unwrap_or_default();
    format!(
        "{}\nthe metric is {metric} on validation, in %; test figures choose nothing\n",
        table::aligned(&rows, table::NO_RULE)
    )
}
