//! A finished run, read from its folder, each file when it is asked for.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cnc_models::Model;
use serde::de::DeserializeOwned;
use toml::Table;

use super::interface::Interface;
use super::metrics::{METRICS, MetricLine};
use super::results::Results;
use super::story::Story;
use crate::config::network::{Network, WEIGHTS};
use crate::config::recipe::of_method_and_model;
use crate::config::run_config::RunConfig;
use crate::config::selection::Selection;
use crate::methods::Known;

/// Name of the file with the predictions of the saved model: tensor `test`, the class of each row of the test split.
pub(crate) const PREDICTIONS: &str = "predictions.safetensors";

/// The folder of a run's checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoint";

/// Name of the checkpoint that another rule than the run's chooses, by the rule's metric.
#[must_use]
pub(crate) fn best_by(metric: &str) -> String {
    format!("best-{metric}")
}

/// A finished run. Nothing but its folder is needed, wherever that is.
#[derive(Debug, Clone)]
pub(crate) struct FinishedRun {
    folder: PathBuf,
    /// Its model.
    weights: PathBuf,
    results: OnceLock<Results>,
    story: OnceLock<Option<Story>>,
}

/// A run folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// There is nothing.
    #[error("{}: there is no such folder; that of a finished run is needed", folder.display())]
    NoFolder {
        /// The run folder.
        folder: PathBuf,
    },
    /// The folder has no results: the run is not complete.
    #[error("{} holds no finished run\n  hint: finish it with the command that started it and `--resume`", folder.display())]
    Unfinished {
        /// The run folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file, or a line of it, is not what the program writes.
    #[error("{}, line {line}: {message}\n  hint: the file was changed or cut short; repeat the run, or restore the file", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl FinishedRun {
    /// The finished run in this folder; its files are read later.
    ///
    /// # Errors
    /// When there is no folder, or the run in it is not finished.
    pub(crate) fn open(folder: &Path) -> Result<Self, RecordError> {
        if !folder.is_dir() {
            return Err(RecordError::NoFolder { folder: folder.to_owned() });
        }
        if !folder.join("results.json").exists() {
            return Err(RecordError::Unfinished { folder: folder.to_owned() });
        }
        let weights = folder.join(WEIGHTS);
        Ok(Self { folder: folder.to_owned(), weights, results: OnceLock::new(), story: OnceLock::new() })
    }

    /// A run of which only `results.json` is still to be written.
    pub(crate) fn of(folder: &Path, results: Results, story: Story) -> Self {
        let weights = folder.join(WEIGHTS);
        Self { folder: folder.to_owned(), weights, results: results.into(), story: Some(story).into() }
    }

    /// The same run with the checkpoint that another rule would have chosen, where one is given.
    ///
    /// # Errors
    /// When the run has none: its method selects no checkpoint, or the rule needs what the data do not have.
    pub(crate) fn by(mut self, rule: Option<Selection>) -> Result<Self> {
        let results = self.results()?;
        let Some(rule) = rule.filter(|rule| results.selected.metric != rule.metric()) else { return Ok(self) };
        let weights = self.folder.join(CHECKPOINTS).join(format!("{}.safetensors", best_by(rule.metric())));
        if !weights.is_file() {
            let kept = results.stages.last().map(|stage| stage.alternatives.as_slice()).unwrap_or_default();
            let kept: Vec<&str> =
                [&results.selected].into_iter().chain(kept).map(|best| best.metric.as_str()).collect();
            bail!(
                "{} is not there: the run keeps no checkpoint with the best {}; it has {}",
                weights.display(),
                rule.metric(),
                kept.join(", ")
            );
        }
        self.weights = weights;
        Ok(self)
    }

    /// Its folder.
    #[must_use]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Name of its folder.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// What it found: `results.json`.
    ///
    /// # Errors
    /// When the file is damaged; the message names the line. So it is with every file below.
    pub(crate) fn results(&self) -> Result<&Results, RecordError> {
        once(&self.results, || json(&self.folder.join("results.json")))
    }

    /// Every setting in force, as `config.toml` has it.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub(crate) fn settings(&self) -> Result<Table, RecordError> {
        toml(&self.folder.join("config.toml"))
    }

    /// The same, as this version of the program reads it.
    ///
    /// # Errors
    /// When the file is missing or damaged, or a setting is missing.
    pub(crate) fn config(&self) -> Result<RunConfig, RecordError> {
        toml(&self.folder.join("config.toml"))
    }

    /// Its figures while it trained: `metrics.jsonl`.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub(crate) fn metrics(&self) -> Result<Vec<MetricLine>, RecordError> {
        let path = self.folder.join(METRICS);
        let lines = text(&path)?;
        let filled = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let parsed = filled
            .map(|(index, line)| serde_json::from_str(line).map_err(|e| content(&path, index + 1, &e.to_string())));
        parsed.collect()
    }

    /// Its pictures: `story.json`, where it has one.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(crate) fn story(&self) -> Result<Option<&Story>, RecordError> {
        let path = self.folder.join("story.json");
        let story = once(&self.story, || if path.exists() { json(&path).map(Some) } else { Ok(None) })?;
        Ok(story.as_ref())
    }

    /// What its model says of each row of the test split.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub(crate) fn predictions(&self) -> Result<Vec<u32>> {
        let file = self.folder.join(PREDICTIONS);
        let named = cnc_nn::files::read(&file, &Device::Cpu)?;
        let test = named.get("test").with_context(|| format!("{} has no tensor `test`", file.display()))?;
        test.to_vec1::<u32>().with_context(|| format!("tensor `test` of {}", file.display()))
    }

    /// What its model takes and gives: `interface.json`.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub(crate) fn interface(&self) -> Result<Interface> {
        Interface::read(&self.folder)
    }

    /// The model that it saved, for so many classes; its method and model are known ones.
    ///
    /// # Errors
    /// When the settings or the weights are missing or damaged, or of another model.
    pub(crate) fn model(&self, known: &Known, classes: usize, device: &Device) -> Result<Box<dyn Model>> {
        let config = self.config()?;
        let (of_method, of_model) = of_method_and_model(&config.settings);
        let network = Network::new(known.models.clone(), &config.model, Some(&self.folder), &of_model)?;
        let method = (known.methods.find(&config.method)?.build)(&of_method)?;
        let model = method.model(network.drawn(classes, config.seed, device)?)?;
        let read = model.parameters().read(&self.weights);
        read.with_context(|| format!("the model cannot be read from {}", self.weights.display()))?;
        Ok(model)
    }
}

/// The value of a cell, read where it is not there yet.
fn once<T, E>(cell: &OnceLock<T>, read: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = read()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

fn text(path: &Path) -> Result<String, RecordError> {
    std::fs::read_to_string(path).map_err(|source| RecordError::Read { path: path.to_owned(), source })
}

fn content(path: &Path, line: usize, message: &str) -> RecordError {
    RecordError::Content { path: path.to_owned(), line, message: message.to_owned() }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    serde_json::from_str(&text(path)?).map_err(|e| content(path, e.line(), &e.to_string()))
}

fn toml<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    let text = text(path)?;
    toml::from_str(&text).map_err(|e| {
        let start = e.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count();
        content(path, line, e.message())
    })
}
