//! Several runs, one after another in this process: what is finished is taken, what is not is gone on with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use candle_core::Device;
use cnc_data::{Dataset, Manifest};

use super::train::{Arguments, configure, describe};
use crate::compare::{FinishedRun, TestSet};
use crate::error::Interrupted;
use crate::job::Job;
use crate::results::Results;
use crate::run_folder::{Found, PREDICTIONS, RunFolder};
use crate::say::note;
use crate::{device, memory};

/// A run of a series.
pub(super) struct Planned {
    job: Job,
    manifest: Manifest,
    path: PathBuf,
}

impl Planned {
    /// A run with these arguments in this folder.
    pub(super) fn new(arguments: &Arguments, path: PathBuf) -> Result<Self> {
        let (job, manifest) = configure(arguments)?;
        Ok(Self { job, manifest, path })
    }
}

/// The dataset of one seed, opened once for all of its runs.
pub(super) struct Opened {
    seed: u64,
    dataset: Arc<Dataset>,
    device: Device,
}

impl Opened {
    /// What predictions on the test split are held against.
    pub(super) fn test(&self) -> TestSet {
        let test = &self.dataset.test;
        let groups = test.groups().iter().map(|group| group.rows.clone()).collect();
        TestSet { labels: test.labels().to_vec(), groups }
    }
}

/// Open the dataset of a run, unless it is open already.
pub(super) fn open(opened: Option<Opened>, planned: &Planned) -> Result<Opened> {
    let config = &planned.job.config;
    if let Some(opened) = opened.filter(|opened| opened.seed == config.seed) {
        return Ok(opened);
    }
    let dataset = Arc::new(config.data.open(planned.manifest.clone(), config.limit, config.seed)?);
    let device = device::open(&config.device)?;
    describe(config, &dataset);
    planned.job.check_model(&dataset, &device)?;
    Ok(Opened { seed: config.seed, dataset, device })
}

/// The finished run: taken from its folder, gone on with, or started.
pub(super) fn obtain(planned: &Planned, opened: &Opened, stop: &Arc<AtomicBool>) -> Result<FinishedRun> {
    let Planned { job, path, .. } = planned;
    let folder = match RunFolder::find(path, &job.config)? {
        Found::Finished(results) => {
            note!("{} is finished: its figures are taken", path.display());
            return finished(path, *results);
        }
        Found::Unfinished(folder) => {
            note!("{} is not finished: going on", path.display());
            folder
        }
        Found::Nothing => {
            if path.join("config.toml").exists() {
                note!("{} holds a run that is damaged: it is removed and started again", path.display());
                std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
            RunFolder::open(path, &job.config, false)?
        }
    };
    memory::reset_peak();
    let results =
        job.run(Arc::clone(&opened.dataset), opened.device.clone(), folder, Arc::clone(stop)).map_err(|error| {
            match error.downcast::<Interrupted>() {
                Ok(interrupted) => Interrupted { repeat: true, ..interrupted }.into(),
                Err(error) => error,
            }
        })?;
    finished(path, results)
}

fn finished(path: &Path, results: Results) -> Result<FinishedRun> {
    let file = path.join(PREDICTIONS);
    let named = cnc_nn::files::read(&file, &Device::Cpu)?;
    let test = named.get("test").with_context(|| format!("{} has no tensor `test`", file.display()))?;
    let predictions = test.to_vec1::<u32>().with_context(|| format!("tensor `test` of {}", file.display()))?;
    let folder = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(FinishedRun { folder, results, predictions })
}
