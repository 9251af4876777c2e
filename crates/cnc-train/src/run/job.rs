//! One run, from checked settings to a finished folder.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use cnc_base::files::write_atomically;
use cnc_data::Dataset;
use cnc_models::Registry;
use toml::{Table, Value};

use super::encoder::check_encoder;
use super::folder::RunFolder;
use super::memory;
use super::opened::Opened;
use super::recorder::Recorder;
use super::source::Source;
use super::story::{self, StageView, TrainingView};
use crate::config::device;
use crate::config::given::Idle;
use crate::config::identity;
use crate::config::network::Network;
use crate::config::recipe::of_method_and_model;
use crate::config::run_config::RunConfig;
use crate::config::settings::check_views;
use crate::error::{UsageError, shown};
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
    /// Settings that were given and do nothing.
    pub(crate) idle: Vec<Idle>,
    /// SHA-256 of the weights that it starts from, once they were read.
    init_sha256: OnceLock<Option<String>>,
}

impl Job {
    /// A run with these settings; `absent` says of the weights that its recipe starts from why they are not here.
    ///
    /// # Errors
    /// When a setting of the method cannot be trained with, or the model cannot be built.
    pub(crate) fn new(
        config: RunConfig,
        info: MethodInfo,
        models: Registry,
        idle: Vec<Idle>,
        absent: Option<String>,
    ) -> Result<Self> {
        let (of_method, of_model) = of_method_and_model(&config.settings);
        let method = (info.build)(&of_method)?;
        if config.encoder.is_some() && !method.refits() {
            let problem = format!(
                "--encoder is of methods that refit the last layer, such as dfr, afr and dpe; `{}` trains all",
                info.name
            );
            return Err(UsageError(problem).into());
        }
        let network = Network::new(models, &config.model, config.init.as_deref(), &of_model)?.in_place_of(absent);
        Ok(Self { config, info, method, network, idle, init_sha256: OnceLock::new() })
    }

    /// Look whether the model of the run can start, open its data, and say what a user should know of both: before the run
    /// has a folder.
    ///
    /// # Errors
    /// When a row is not valid, there is no such device, or the model cannot start as the settings say.
    pub(crate) fn open(&self, source: &Source, listener: &Listener) -> Result<Opened> {
        let device = device::open(&self.config.device)?;
        // Weights that do not fit are known in a moment; to read the data takes minutes.
        let notes = self.network.check(source.classes().len(), self.config.seed, &device)?;
        let opened = Opened::open(&self.config, &self.network, source, device, listener)?;
        for note in notes {
            listener(&Event::Note(&format!("note: {note}")));
        }
        self.check(&opened)?;
        Ok(opened)
    }

    /// Refuse data that a later stage would fail on, before anything trains.
    ///
    /// # Errors
    /// When labels, groups or samples are missing that the method needs.
    pub(crate) fn check(&self, opened: &Opened) -> Result<()> {
        self.network.check_length(&opened.dataset.preparation)?;
        if let Some(encoder) = &self.config.encoder {
            check_encoder(encoder, &self.config.on(&opened.dataset))?;
        }
        check_views(&self.config.settings, &opened.dataset.train)?;
        self.info.check(&opened.dataset)?;
        self.method.check(&opened.dataset, Seeds::new(self.config.seed))?;
        self.check_single_rows(opened)
    }

    /// Refuse batches of a single row where the network cannot train on one: batch norm has no variance of it.
    fn check_single_rows(&self, opened: &Opened) -> Result<()> {
        let train = &opened.dataset.train;
        let remedy = match (train.len(), single_rows(&self.config.settings, "")) {
            (1, _) => "give more than one training row, or choose a model without batch norm".to_owned(),
            (_, Some(setting)) => format!("set `{setting}` to at least 2, or choose a model without batch norm"),
            (_, None) => return Ok(()),
        };
        let Some(shape) = train.shape() else { return Ok(()) };
        self.network.train_on_one(shape, opened.dataset.classes.len(), &opened.device).map_err(|error| {
            let model = &self.config.model;
            anyhow!("model `{model}` cannot train on a batch of one row: {}\n  hint: {remedy}", shown(&error))
        })
    }

    /// Its settings, with what the data and the weights are.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub(crate) fn config_on(&self, dataset: &Dataset) -> Result<RunConfig> {
        let init_sha256 = match self.init_sha256.get() {
            Some(sum) => sum.clone(),
            None => {
                let sum = self.config.init.as_deref().map(identity::sha256).transpose()?.flatten();
                self.init_sha256.get_or_init(|| sum).clone()
            }
        };
        Ok(RunConfig { init_sha256, ..self.config.on(dataset) })
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
        let folder = RunFolder::open(&folder, &self.config_on(&opened.dataset)?, resume)?;
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
            selection: self.config.select.on(&opened.dataset, self.info.has_plain_model()),
            limit: self.config.limit,
            encoder: self.config.encoder_run.as_ref().map(|run| run.title.clone()),
            told_of_merging: Cell::new(false),
            slices: RefCell::new(None),
            keep: Box::new(Recorder::new(folder.clone())),
            listener,
            stop,
        };
        if let Some(note) = folder.note() {
            trainer.note(&format!("note: {note}"));
        }
        for idle in &self.idle {
            trainer.note(&format!("note: {}", idle.sentence()));
        }
        let trained = || -> Result<FinishedRun> {
            self.network.copy_beside(self.config.data.tokenizer.as_deref(), folder.path())?;
            let stages = self.method.run(&trainer)?;
            let results = self.results(&trainer, &stages, start)?;
            self.finish(&folder, &trainer.dataset, &stages, results)
        };
        trained().map_err(|error| with_remedy_for_a_full_disk(error, folder.path()))
    }

    fn results(&self, trainer: &Trainer, stages: &[TrainedStage], start: Instant) -> Result<Results> {
        let dataset = &trainer.dataset;
        let (config, info) = (&self.config, self.info);
        let last = &stages.last().ok_or_else(|| anyhow!("method `{}` trained no stage", info.name))?.result;
        // This process may have gone on with what others trained.
        let mut stages: Vec<_> = stages.iter().map(|stage| stage.result.clone()).collect();
        if let Some(last) = stages.last_mut() {
            last.notes.extend(self.idle.iter().map(Idle::sentence));
        }
        let of_stages: f64 = stages.iter().map(|stage| stage.duration_s).sum();
        Ok(Results {
            version: config.version.clone(),
            dataset: dataset.name.clone(),
            method: config.method.clone(),
            model: config.model.clone(),
            seed: config.seed,
            device: config.device.clone(),
            threads: config.threads,
            limit: config.limit,
            weights: self.weights(dataset.classes.len(), &trainer.device)?,
            data: dataset.notes.clone(),
            skipped_rows: dataset.skipped.len() as u64,
            duration_s: start.elapsed().as_secs_f64().max(of_stages),
            peak_memory_bytes: memory::peak(),
            label_budget: self.label_budget(dataset),
            selection_rule: config.select.rule_on(dataset, info.has_plain_model()),
            selected: last.selected.clone(),
            val: last.val.clone(),
            test: last.test.clone(),
            stages,
        })
    }

    /// Which group labels the run used, and what for.
    fn label_budget(&self, dataset: &Dataset) -> String {
        let own = self.info.label_budget(self.config.select.on(dataset, self.info.has_plain_model()));
        self.config.encoder_run.as_ref().map_or_else(|| own.to_owned(), |run| run.joined(own))
    }

    /// What became of the weights that the run started from, and which they were.
    fn weights(&self, classes: usize, device: &Device) -> Result<Vec<String>> {
        let config = &self.config;
        let mut notes = self.network.notes(classes, config.seed, device)?;
        let revision = config.init.as_deref().and_then(identity::revision);
        let revision = revision.map(|commit| format!(", revision {commit}")).unwrap_or_default();
        let sum = self.init_sha256.get().and_then(Option::as_ref);
        notes.extend(sum.map(|sum| format!("their SHA-256 is {sum}{revision}")));
        Ok(notes)
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

/// The setting by which a stage trains on single rows. (A batch size without an optimiser beside it is not of a network.)
fn single_rows(settings: &Table, path: &str) -> Option<String> {
    let is_one = settings.get("batch_size").and_then(Value::as_integer) == Some(1);
    if is_one && settings.contains_key("optimizer") {
        return Some(format!("{path}batch_size"));
    }
    settings.iter().find_map(|(key, value)| single_rows(value.as_table()?, &format!("{path}{key}.")))
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
