//! Which runs a comparison has, and which of a method's combinations of settings is the best on validation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::comparison::{Comparison, MethodRuns, compare};
use super::paper::Paper;
use super::search::{Trial, check_axes, choose, combinations, folder_name, list, write_trials};
use super::series::{Planned, TestSet, obtain, open};
use crate::config::asked::{Asked, Options};
use crate::config::manifest;
use crate::error::UsageError;
use crate::methods::{Known, METHODS, MethodInfo, Methods};
use crate::record::FinishedRun;
use crate::run::configure::configure;
use crate::run::source::Source;
use crate::training::{Event, Listener};

/// What is to be compared.
pub(crate) struct Plan<'a> {
    /// Name of the dataset, or path of its manifest.
    pub(crate) dataset: &'a str,
    /// Names of the methods.
    pub(crate) methods: &'a [String],
    /// Number of seeds: 0, 1, and so on.
    pub(crate) seeds: u64,
    /// Axes of settings, each `key=value,value`.
    pub(crate) grid: &'a [String],
    /// What all runs have.
    pub(crate) options: &'a Options,
    /// Folder of the comparison.
    pub(crate) folder: &'a Path,
}

/// A method with one combination of settings, and its runs so far.
struct Candidate {
    /// The method.
    info: MethodInfo,
    /// The combination, as `key=value`.
    set: Vec<String>,
    /// Its runs, one a seed.
    planned: Vec<Planned>,
    /// Those that are finished.
    runs: Vec<FinishedRun>,
}

impl Plan<'_> {
    /// Train what is missing, choose the combination of each method that is best on validation, and compare.
    ///
    /// # Errors
    /// When a method or a setting is not valid, a run fails, or a signal stopped it.
    pub(crate) fn run(&self, listener: &Listener, stop: &Arc<AtomicBool>) -> Result<Comparison> {
        let mut candidates = self.candidates()?;
        let tests = train_missing(&mut candidates, self.seeds, listener, stop)?;
        let methods = chosen(candidates, self.folder, listener)?;
        compare(&methods, &tests, Paper::of(manifest::open(self.dataset)?.name())?.as_ref())
    }

    /// Every method with every combination of its settings; all of them are checked before the first run starts.
    ///
    /// # Errors
    /// When a method or a setting is unknown or not valid.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let known = Methods::default();
        let recipe = Source::Manifest(Box::new(manifest::open(self.dataset)?)).recipe(&known)?;
        let infos: Vec<MethodInfo> = self.methods.iter().map(|name| known.find(name)).collect::<Result<_, _>>()?;
        let settings: Vec<Table> =
            infos.iter().map(|info| recipe.settings(info.name, &[])).collect::<Result<_, _>>()?;
        for text in self.options.set.iter().chain(self.grid) {
            if !infos.iter().zip(&settings).any(|(info, settings)| for_method(text, info.name, settings).is_some()) {
                return Err(UsageError(format!(
                    "{text}: none of the methods {} has this setting; expected one of a method's recipe, for example \
                     optimizer.learning_rate=1e-3 or jtt.upweight=50",
                    self.methods.join(", ")
                ))
                .into());
            }
        }
        let mut candidates = Vec::new();
        for (info, settings) in infos.into_iter().zip(&settings) {
            let own = |texts: &[String]| -> Vec<String> {
                texts.iter().filter_map(|text| for_method(text, info.name, settings)).collect()
            };
            let fixed = own(&self.options.set);
            let first = candidates.len();
            for set in combinations(&own(self.grid))? {
                let of_seed = |seed| self.planned(&info, &set, &fixed, seed);
                let planned = (0..self.seeds).map(of_seed).collect::<Result<_>>()?;
                candidates.push(Candidate { info, set, planned, runs: Vec::new() });
            }
            let trials = candidates.iter().skip(first).flat_map(|candidate: &Candidate| {
                candidate.planned.first().map(|planned| (&planned.job, &candidate.set[..]))
            });
            check_axes(trials)?;
        }
        Ok(candidates)
    }

    fn planned(&self, info: &MethodInfo, set: &[String], fixed: &[String], seed: u64) -> Result<Planned> {
        let trial = if set.is_empty() { String::new() } else { format!("-{}", folder_name(set)) };
        let path: PathBuf = self.folder.join(format!("{}{trial}-{seed}", info.name));
        let options = Options { set: [fixed, set].concat(), ..self.options.clone() };
        let (dataset, method) = (Some(self.dataset.to_owned()), Some(info.name.to_owned()));
        let asked = Asked { dataset, method, seed: Some(seed), options, settings: Table::new() };
        let source = Source::Manifest(Box::new(manifest::open(self.dataset)?));
        let job = configure(asked, "", &source, &Known::default())?;
        Ok(Planned { job, source, path })
    }
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

/// Train what is missing of all candidates, seed by seed, and give the test sets of the seeds.
///
/// # Errors
/// When a run fails, or a signal stopped it.
fn train_missing(
    candidates: &mut [Candidate],
    seeds: u64,
    listener: &Listener,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<TestSet>> {
    let total = candidates.len() as u64 * seeds;
    let mut tests: Vec<TestSet> = Vec::new();
    let mut opened = None;
    let mut done = 0;
    for seed in 0..seeds {
        let of_seed: Vec<&Planned> =
            candidates.iter().filter_map(|candidate| candidate.planned.get(seed as usize)).collect();
        if let Some(first) = of_seed.first() {
            let dataset = open(None, first, listener)?;
            of_seed.iter().try_for_each(|planned| planned.job.check(&dataset))?;
            opened = Some(dataset);
        }
        for candidate in &mut *candidates {
            done += 1;
            let Some(planned) = candidate.planned.get(seed as usize) else { continue };
            let (name, set) = (candidate.info.name, candidate.set.join(" "));
            listener(&Event::Note(&format!("\nrun {done} of {total}: {name}, seed {seed} {set}")));
            let dataset = open(opened.take(), planned, listener)?;
            if tests.len() as u64 == seed {
                tests.push(TestSet::of(&dataset)?);
            }
            candidate.runs.push(obtain(planned, &dataset, listener, stop)?);
            opened = Some(dataset);
        }
    }
    Ok(tests)
}

/// The best combination of each method, by validation; the others stay in `trials.json`.
///
/// # Errors
/// When a method has no runs, or `trials.json` cannot be written.
fn chosen(candidates: Vec<Candidate>, folder: &Path, listener: &Listener) -> Result<Vec<MethodRuns>> {
    let mut methods: Vec<(MethodInfo, Vec<Candidate>)> = Vec::new();
    for candidate in candidates {
        match methods.last_mut().filter(|(info, _)| info.name == candidate.info.name) {
            Some((_, candidates)) => candidates.push(candidate),
            None => methods.push((candidate.info, vec![candidate])),
        }
    }
    let mut all_trials = BTreeMap::new();
    let mut out = Vec::new();
    for (info, mut candidates) in methods {
        let trial = |candidate: &Candidate| Trial::new(candidate.set.clone(), &candidate.runs);
        let mut trials: Vec<Trial> = candidates.iter().map(trial).collect::<Result<_>>()?;
        let best = choose(&mut trials);
        if trials.len() > 1 {
            listener(&Event::Note(&format!("\n{}\n{}", info.name, list(&trials))));
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
