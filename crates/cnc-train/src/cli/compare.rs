//! `cnc-train compare`: methods times seeds, a folder each, and the table of all.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use cnc_data::Manifest;
use cnc_nn::files::write_atomically;
use toml::{Table, Value};

use super::grid::{list, write_trials};
use super::open_manifest;
use super::series::{Planned, obtain, open};
use super::train::{Arguments as TrainArguments, Options, recipe_of, stop_on_signal, warn_of_debug_build};
use crate::compare::{FinishedRun, MethodRuns, Paper, TestSet, compare, csv, html, markdown, text};
use crate::error::UsageError;
use crate::grid::{Trial, choose, combinations, folder_name};
use crate::methods::{METHODS, MethodInfo, find};
use crate::say::{note, result};

/// What to compare, and where to put it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train compare digits --methods erm,cnc,group-dro --seeds 3
  cnc-train compare cmnist --methods erm,lff,jtt,eiil,cnc,group-dro --seeds 3 --out runs/table
  cnc-train compare digits --methods jtt,rwg --set jtt.upweight=50 --set steps=500
  cnc-train compare digits --methods group-dro --grid step_size=0.01,0.1

A setting goes to every method that has it, or to the one that is named before it (jtt.upweight). The same command goes on
where it was stopped; what is finished is not trained again.")]
pub(super) struct Arguments {
    /// Name of a built-in dataset (see `cnc-train datasets`), or path of a manifest of your own.
    dataset: String,
    /// Methods (see `cnc-train methods`), separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    methods: Vec<String>,
    /// Number of seeds: 0, 1, and so on.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Folder of the comparison; each run has one in it [default: runs/compare-<dataset>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Try every combination of values and keep, for each method, the best on validation: --grid temperature=0.05,0.1
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    grid: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// A method with one combination of settings, and its runs so far.
struct Candidate {
    info: &'static MethodInfo,
    set: Vec<String>,
    planned: Vec<Planned>,
    runs: Vec<FinishedRun>,
}

/// Train what is missing, and print the table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    warn_of_debug_build();
    let manifest = open_manifest(&arguments.dataset)?;
    let folder =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("compare-{}", manifest.name())));
    let mut candidates = plan(arguments, &manifest, &folder)?;
    let total = candidates.len() as u64 * arguments.seeds;
    let stop = stop_on_signal()?;
    let mut tests: Vec<TestSet> = Vec::new();
    let mut opened = None;
    let mut done = 0;
    for seed in 0..arguments.seeds {
        for candidate in &mut candidates {
            done += 1;
            let Some(planned) = candidate.planned.get(seed as usize) else { continue };
            note!("\nrun {done} of {total}: {}, seed {seed} {}", candidate.info.name, candidate.set.join(" "));
            let dataset = open(opened.take(), planned)?;
            if tests.len() as u64 == seed {
                tests.push(dataset.test());
            }
            candidate.runs.push(obtain(planned, &dataset, &stop)?);
            opened = Some(dataset);
        }
    }
    let methods = chosen(candidates, &folder)?;
    let comparison = compare(&methods, &tests, Paper::of(manifest.name())?.as_ref())?;
    let mut json = serde_json::to_string_pretty(&comparison)?;
    json.push('\n');
    let files = [
        ("compare.csv", csv(&comparison)?),
        ("compare.md", markdown(&comparison)),
        ("compare.html", html(&comparison)),
        ("compare.json", json),
    ];
    for (name, text) in files {
        write_atomically(&folder.join(name), text.as_bytes())?;
    }
    result!("{}", text(&comparison));
    result!("the same as CSV, Markdown, HTML and JSON: {}", folder.join("compare.*").display());
    Ok(())
}

/// Every method with every combination of its settings; all of them are checked before the first run starts.
fn plan(arguments: &Arguments, manifest: &Manifest, folder: &std::path::Path) -> Result<Vec<Candidate>> {
    let recipe = recipe_of(manifest)?;
    let infos: Vec<&'static MethodInfo> = arguments.methods.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
    let settings: Vec<Table> = infos.iter().map(|info| recipe.settings(info.name, &[])).collect::<Result<_, _>>()?;
    for text in arguments.options.set.iter().chain(&arguments.grid) {
        if !infos.iter().zip(&settings).any(|(info, settings)| for_method(text, info.name, settings).is_some()) {
            return Err(UsageError(format!(
                "{text}: none of the methods {} has this setting; expected one of a method's recipe, for example \
                 optimizer.learning_rate=1e-3 or jtt.upweight=50",
                arguments.methods.join(", ")
            ))
            .into());
        }
    }
    let mut candidates = Vec::new();
    for (info, settings) in infos.iter().zip(&settings) {
        let own = |texts: &[String]| -> Vec<String> {
            texts.iter().filter_map(|text| for_method(text, info.name, settings)).collect()
        };
        let fixed = own(&arguments.options.set);
        for set in combinations(&own(&arguments.grid))? {
            let planned = (0..arguments.seeds)
                .map(|seed| {
                    let trial = if set.is_empty() { String::new() } else { format!("-{}", folder_name(&set)) };
                    let mut options = arguments.options.clone();
                    options.set = [&fixed[..], &set].concat();
                    let train = TrainArguments::of(&arguments.dataset, info.name, seed, options);
                    Planned::new(&train, folder.join(format!("{}{trial}-{seed}", info.name)))
                })
                .collect::<Result<_>>()?;
            candidates.push(Candidate { info, set, planned, runs: Vec::new() });
        }
    }
    Ok(candidates)
}

/// What `key=value` says to a method: itself where the method has such a setting, without the method's name where it is
/// named before the key, nothing where it is another method's.
fn for_method(text: &str, method: &str, settings: &Table) -> Option<String> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim();
    let (key, rest) = match key.split_once('.') {
        Some((name, rest)) if name == method => (rest, rest),
        Some((name, _)) if METHODS.iter().any(|info| info.name == name) => return None,
        _ => (key, key),
    };
    let mut names = rest.split('.');
    let first = settings.get(names.next()?);
    let found = names.try_fold(first?, |table, name| table.as_table().and_then(|table: &Table| table.get(name)));
    found.filter(|value| !matches!(value, Value::Table(_))).map(|_| format!("{key}={value}"))
}

/// The best combination of each method, by validation; the others stay in `trials.json`.
fn chosen(candidates: Vec<Candidate>, folder: &std::path::Path) -> Result<Vec<MethodRuns>> {
    let mut methods: Vec<(&'static MethodInfo, Vec<Candidate>)> = Vec::new();
    for candidate in candidates {
        match methods.last_mut().filter(|(info, _)| info.name == candidate.info.name) {
            Some((_, candidates)) => candidates.push(candidate),
            None => methods.push((candidate.info, vec![candidate])),
        }
    }
    let mut all_trials = std::collections::BTreeMap::new();
    let mut out = Vec::new();
    for (info, mut candidates) in methods {
        let trial = |candidate: &Candidate| {
            let runs: Vec<_> = candidate.runs.iter().map(|run| (run.folder.as_str(), &run.results)).collect();
            Trial::new(candidate.set.clone(), &runs)
        };
        let mut trials: Vec<Trial> = candidates.iter().map(trial).collect();
        let best = choose(&mut trials);
        if trials.len() > 1 {
            note!("\n{}\n{}", info.name, list(&trials));
            all_trials.insert(info.name, trials);
        }
        anyhow::ensure!(best < candidates.len(), "method `{}` has no runs", info.name);
        let Candidate { set, runs, .. } = candidates.swap_remove(best);
        out.push(MethodRuns { info, set, runs });
    }
    if !all_trials.is_empty() {
        write_trials(folder, &all_trials).context("the figures of the trials cannot be kept")?;
    }
    Ok(out)
}
