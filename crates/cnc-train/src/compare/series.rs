//! Several runs, one after another in this process: what is finished is taken, what is not is gone on with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use cnc_core::Groups;

use super::search::{Trial, check_axes, choose, write_trials};
use crate::error::Interrupted;
use crate::record::FinishedRun;
use crate::run::folder::{FolderState, RunFolder};
use crate::run::job::Job;
use crate::run::memory;
use crate::run::opened::Opened;
use crate::run::source::Source;
use crate::training::evaluate::groups_of;
use crate::training::{Event, Listener};

/// A run of a series.
pub(crate) struct Planned {
    /// The run.
    pub(crate) job: Job,
    /// Its data.
    pub(crate) source: Source,
    /// Its folder.
    pub(crate) path: PathBuf,
}

/// The labels and groups of a test split: what predictions are held against.
pub(super) struct TestSet {
    /// Class of each row.
    pub(super) labels: Vec<u32>,
    /// Rows of each group.
    pub(super) groups: Groups,
}

impl TestSet {
    /// That of a run.
    ///
    /// # Errors
    /// When a group has a row that the split has not.
    pub(super) fn of(opened: &Opened) -> Result<Self> {
        let test = &opened.dataset.test;
        Ok(Self { labels: test.labels().to_vec(), groups: groups_of(test.groups(), test.len())? })
    }
}

/// Open the dataset of a run, unless it is open already.
pub(super) fn open(opened: Option<Opened>, planned: &Planned, listener: &Listener) -> Result<Opened> {
    match opened.filter(|opened| opened.is_of(&planned.job.config)) {
        Some(opened) => Ok(opened),
        None => planned.job.open(&planned.source, listener),
    }
}

/// The finished run: taken from its folder, gone on with, or started.
pub(super) fn obtain(
    planned: &Planned,
    opened: &Opened,
    listener: &Listener,
    stop: &Arc<AtomicBool>,
) -> Result<FinishedRun> {
    let Planned { job, path, .. } = planned;
    let note = |text: String| listener(&Event::Note(&text));
    let config = job.config_on(&opened.dataset)?;
    let folder = match RunFolder::state(path, &config)? {
        FolderState::Finished(run) => {
            note(format!("{} is finished: its figures are taken", path.display()));
            return Ok(*run);
        }
        FolderState::Unfinished(folder) => {
            note(format!("{} is not finished: going on", path.display()));
            folder
        }
        FolderState::Nothing => {
            if path.join("config.toml").exists() {
                note(format!("{} holds a run that is damaged: it is removed and started again", path.display()));
                std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
            RunFolder::open(path, &config, false)?
        }
    };
    memory::reset_peak();
    let run = job.run(opened, folder, Arc::clone(listener), Arc::clone(stop));
    run.map_err(|error| match error.downcast::<Interrupted>() {
        Ok(interrupted) => Interrupted { repeat: true, ..interrupted }.into(),
        Err(error) => error,
    })
}

/// Obtain a run for each combination of settings, keep the figures of all in `trials.json`, and give the one that is best on
/// validation.
///
/// # Errors
/// When there is none, one fails, or a signal stopped it.
pub(crate) fn best_of(
    planned: Vec<(Planned, Vec<String>)>,
    folder: &Path,
    listener: &Listener,
    stop: &Arc<AtomicBool>,
) -> Result<(FinishedRun, Vec<Trial>)> {
    check_axes(planned.iter().map(|(planned, set)| (&planned.job, &set[..])))?;
    let total = planned.len();
    let mut opened = None;
    if let Some((first, _)) = planned.first() {
        let dataset = open(None, first, listener)?;
        planned.iter().try_for_each(|(planned, _)| planned.job.check(&dataset))?;
        opened = Some(dataset);
    }
    let (mut trials, mut runs) = (Vec::new(), Vec::new());
    for (index, (planned, set)) in planned.into_iter().enumerate() {
        listener(&Event::Note(&format!("\ntrial {} of {total}: {}", index + 1, set.join(" "))));
        let dataset = open(opened.take(), &planned, listener)?;
        let run = obtain(&planned, &dataset, listener, stop)?;
        opened = Some(dataset);
        trials.push(Trial::new(set, std::slice::from_ref(&run))?);
        runs.push(run);
    }
    let best = choose(&mut trials);
    write_trials(folder, &trials)?;
    let run = runs.into_iter().nth(best).context("a grid has at least one trial")?;
    Ok((run, trials))
}
