//! One run, from checked settings to a finished folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use cnc_base::files::write_atomically;
use cnc_data::Dataset;
use cnc_models::Registry;

use super::folder::RunFolder;
use super::memory;
use super::opened::Opened;
use super::recorder::Recorder;
use super::source::Source;
use super::story::{self, StageView, TrainingView};
use crate::config::network::Network;
use crate::config::recipe::of_method_and_model;
use crate::config::run_config::RunConfig;
use crate::error::shown;
use crate::methods::{Method, MethodInfo};
use crate::record::interface::Interface;
use crate::record::{FinishedRun, PREDICTIONS, Results, Story};
use crate::report::{RunView, render};
use crate::training::{Event, Listener, TrainedStage, Trainer};
use cnc_base::seeds::Seeds;

/// A run that is ready to start.
pub(crate) struct Job {
    /// Every setting in force.
    pub config: RunConfig,
    /// What is known of its method.
    pub info: MethodInfo,
    method: Box<dyn Method>,
    network: Network,
}

impl Job {
    /// A run with these settings.
    ///
    /// # Errors
    /// When a setting of the method cannot be trained with, or the model cannot be built.
    pub(crate) fn new(config: RunConfig, info: MethodInfo, models: Registry) -> Result<Self> {
        let (of_method, of_model) = of_method_and_model(&config.settings);
        let method = (info.build)(&of_method)?;
        let network = Network::new(models, &config.model, config.init.as_deref(), &of_model)?;
        Ok(Self { config, info, method, network })
    }

    /// Open the data of the run, look whether its model can start, and say what a user should know of both: before the run
    /// has a folder.
    ///
    /// # Errors
    /// When a row is not valid, there is no such device, or the model cannot start as the settings say.
    pub(crate) fn open(&self, source: &Source, listener: &Listener) -> Result<Opened> {
        let opened = Opened::open(&self.config, source, listener)?;
        for note in self.network.check(opened.dataset.classes.len(), self.config.seed, &opened.device)? {
            listener(&Event::Note(&format!("note: {note}")));
        }
        Ok(opened)
    }

    /// Make the folder of the run, or open it to `resume`, and [`run`](Self::run).
    ///
    /// # Errors
    /// As [`RunFolder::open`] and [`run`](Self::run).
    pub(crate) fn start(
        &self,
        opened: &Opened,
        folder: Option<PathBuf>,
        resume: bool,
        listener: Listener,
        stop: Arc<AtomicBool>,
    ) -> Result<FinishedRun> {
        let folder = folder.unwrap_or_else(|| self.config.default_folder(&opened.dataset.name));
        let folder = RunFolder::open(&folder, &self.config.on(&opened.dataset), resume)?;
        self.run(opened, folder, listener, stop)
    }

    /// Train all stages, and write the model, the report and the results into the folder.
    ///
    /// # Errors
    /// When a stage cannot be trained, a file cannot be written, or a signal stopped the run.
    pub(crate) fn run(
        &self,
        opened: &Opened,
        folder: RunFolder,
        listener: Listener,
        stop: Arc<AtomicBool>,
    ) -> Result<FinishedRun> {
        let start = Instant::now();
        let trainer = Trainer {
            dataset: Arc::clone(&opened.dataset),
            network: self.network.clone(),
            device: opened.device.clone(),
            seeds: Seeds::new(self.config.seed),
            selection: self.config.select,
            limit: self.config.limit,
            keep: Box::new(Recorder::new(folder.clone())),
            listener,
            stop,
        };
        let trained = || -> Result<FinishedRun> {
            self.network.copy_beside(self.config.data.tokenizer.as_deref(), folder.path())?;
            let stages = self.method.run(&trainer)?;
            let results = self.results(&trainer.dataset, &stages, start)?;
            self.finish(&folder, &trainer.dataset, &stages, results)
        };
        trained().map_err(|error| with_remedy_for_a_full_disk(error, folder.path()))
    }

    fn results(&self, dataset: &Dataset, stages: &[TrainedStage], start: Instant) -> Result<Results> {
        let (config, info) = (&self.config, self.info);
        let last = &stages.last().ok_or_else(|| anyhow!("method `{}` trained no stage", info.name))?.result;
        // This process may have gone on with what others trained.
        let of_stages: f64 = stages.iter().map(|stage| stage.result.duration_s).sum();
        Ok(Results {
            version: config.version.clone(),
            dataset: dataset.name.clone(),
            method: config.method.clone(),
            model: config.model.clone(),
            seed: config.seed,
            device: config.device.clone(),
            threads: config.threads,
            limit: config.limit,
            skipped_rows: dataset.skipped.len() as u64,
            duration_s: start.elapsed().as_secs_f64().max(of_stages),
            peak_memory_bytes: memory::peak(),
            label_budget: info.label_budget(config.select).to_owned(),
            selection_rule: config.select.rule().to_owned(),
            selected: last.selected.clone(),
            val: last.val.clone(),
            test: last.test.clone(),
            stages: stages.iter().map(|stage| stage.result.clone()).collect(),
        })
    }

    /// Write the model, its predictions, the report and, last of all, the results.
    fn finish(
        &self,
        folder: &RunFolder,
        dataset: &Dataset,
        stages: &[TrainedStage],
        results: Results,
    ) -> Result<FinishedRun> {
        let last = stages.last().context("no stage was trained")?;
        last.model.parameters().save(&folder.file("model.safetensors"))?;
        let config = self.network.config(&*last.model, &dataset.classes)?;
        let config = serde_json::to_string_pretty(&config)? + "\n";
        write_atomically(&folder.file("config.json"), config.as_bytes())?;
        let (classes, inputs) = (dataset.classes.clone(), dataset.preparation.clone());
        Interface { classes, inputs }.write(folder.path())?;
        let test = Tensor::from_slice(&last.test.classes, last.test.classes.len(), &Device::Cpu)?;
        cnc_nn::files::save(&BTreeMap::from([("test".to_owned(), test)]), &folder.file(PREDICTIONS))?;
        let story = tell(dataset, stages)?;
        write_atomically(&folder.file("story.json"), serde_json::to_string(&story)?.as_bytes())?;
        let run = FinishedRun::of(folder.path(), results, story);
        write_atomically(&folder.file("report.html"), render(&[RunView::of(&run)?]).as_bytes())?;
        folder.write_results(run.results()?)?;
        Ok(run)
    }
}

/// What is there to be done about a disk that filled up while the run was written.
fn with_remedy_for_a_full_disk(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let full = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| {
        matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
    });
    if !full {
        return error;
    }
    anyhow!(
        "{}\n  hint: what {} holds is good up to the last checkpoint; make room, then go on with the same command and `--resume`",
        shown(&error),
        folder.display()
    )
}

/// Collect the pictures of the report.
fn tell(dataset: &Dataset, stages: &[TrainedStage]) -> Result<Story> {
    let views: Vec<StageView<'_>> = stages
        .iter()
        .map(|stage| StageView {
            title: &stage.result.title,
            test: &stage.test,
            worst_group: stage.result.test.worst_group.as_deref(),
        })
        .collect();
    let training = stages.iter().find_map(|stage| {
        let training = stage.training.as_ref()?;
        Some(TrainingView { title: &stage.result.title, train: &training.predictions, batch: &training.batch })
    });
    Ok(story::collect(dataset, &views, training)?)
}
