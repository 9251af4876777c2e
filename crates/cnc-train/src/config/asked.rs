//! What the command line and a configuration file say of a run: one type for both.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;
use toml::{Table, Value};

use super::data::DataSettings;
use super::recipe::parse_assignment;
use super::selection::Selection;
use crate::error::UsageError;
use cnc_base::names::did_you_mean;

/// A run as it is asked for; what is not said is for the recipe, or has a default.
#[derive(Debug, Clone, Default, Args, Deserialize)]
pub(crate) struct Asked {
    /// Name of a built-in dataset (see `cnc-train datasets`), or path of a manifest of your own.
    #[arg(required_unless_present = "config")]
    pub(crate) dataset: Option<String>,
    /// Method (see `cnc-train methods`) [default: cnc]
    #[arg(long, value_name = "NAME")]
    pub(crate) method: Option<String>,
    /// Seed of everything that is drawn: splits, colours, weights, batches [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) options: Options,
    /// Settings of a file, over those of the recipe and under those of `--set`.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) settings: Table,
}

/// What runs of every command have.
#[derive(Debug, Clone, Default, Args, Deserialize)]
pub(crate) struct Options {
    /// Model [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// auto, cpu, cuda, cuda:1, metal [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// One setting of the method's recipe, for example temperature=0.1 or optimizer.learning_rate=1e-3
    #[arg(long = "set", value_name = "KEY=VALUE")]
    #[serde(skip)]
    pub(crate) set: Vec<String>,
    /// Which checkpoint counts, by its figure on validation [default: worst-group]
    #[arg(long, value_enum, value_name = "RULE")]
    pub(crate) select: Option<Selection>,
    /// Start from these weights (.safetensors, or a state dict of PyTorch's) instead of drawn ones. Of text: the folder of a
    /// checkpoint, with config.json and the tokenizer.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) init: Option<PathBuf>,
    /// Of methods that refit the last layer (dfr, afr, dpe): on the model of this finished run, instead of training a plain one
    #[arg(long, value_name = "RUN", conflicts_with = "init")]
    pub(crate) encoder: Option<PathBuf>,
    /// A smoke run: the first N samples of each split only, and of CNC's second stage no steps or epochs that show more.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) data: DataSettings,
}

/// Keys that a run writes into its `config.toml` and that say nothing of another run: a file of another version is read all
/// the same, the threads are those of this process, and other data and weights may be there now.
const OF_THE_RECORD: [&str; 5] = ["version", "threads", "rows", "init_sha256", "encoder_run"];
/// Keys of a configuration file.
const KEYS: [&str; 11] =
    ["dataset", "method", "seed", "model", "device", "select", "init", "encoder", "limit", "data", "settings"];

impl Asked {
    /// What a configuration file says: the `config.toml` of a run, or a part of one.
    ///
    /// # Errors
    /// When the file cannot be read, or holds an unknown key or a value of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let wrong = |problem: String| UsageError(format!("--config {}: {}", path.display(), problem.trim()));
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read --config {}", path.display()))?;
        let mut table: Table = text.parse().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
        table.retain(|key, _| !OF_THE_RECORD.contains(&key));
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let hint = did_you_mean(key, KEYS);
            return Err(wrong(format!("unknown key `{key}`{hint}\n  valid here: {}", KEYS.join(", "))).into());
        }
        Ok(Value::Table(table).try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?)
    }

    /// What is asked for, and what `file` says where nothing is.
    pub(crate) fn or(self, file: Self) -> Self {
        let (own, other) = (self.options, file.options);
        Self {
            dataset: self.dataset.or(file.dataset),
            method: self.method.or(file.method),
            seed: self.seed.or(file.seed),
            options: Options {
                model: own.model.or(other.model),
                device: own.device.or(other.device),
                set: own.set,
                select: own.select.or(other.select),
                // Another encoder, or other weights, take the place of both.
                init: own.init.or(other.init.filter(|_| own.encoder.is_none())),
                encoder: own.encoder.or(other.encoder),
                limit: own.limit.or(other.limit),
                data: own.data.or(other.data),
            },
            settings: file.settings,
        }
    }

    /// The settings that lie over the recipe's, in order, each table with its origin for messages; `file` is where those of
    /// a file are from.
    ///
    /// # Errors
    /// When `--set` is no `key=value`.
    pub(crate) fn given(&self, file: &str) -> Result<Vec<(String, Table)>, UsageError> {
        let mut given = vec![(file.to_owned(), self.settings.clone())];
        for assignment in &self.options.set {
            given.push((format!("--set {assignment}"), parse_assignment(assignment)?));
        }
        Ok(given)
    }
}
