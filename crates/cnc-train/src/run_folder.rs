//! The folder of a run: what is in it says how far the run got. `results.json` appears last.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use cnc_nn::files::write_atomically;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::checkpoint::Checkpoints;
use crate::error::UsageError;
use crate::results::Results;
use crate::selection::Selection;

/// Every setting in force: enough to repeat the run (`--config` takes this file).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Version of the program.
    pub version: String,
    /// Name of the dataset, or path of its manifest.
    pub dataset: String,
    /// Name of the method.
    pub method: String,
    /// Name of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Compute threads.
    pub threads: usize,
    /// Selection rule.
    pub select: Selection,
    /// First N samples of each split.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
    /// Weights that the models start from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<PathBuf>,
    /// The method's settings.
    pub settings: Table,
}

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricLine<'a> {
    /// Name of the stage.
    pub stage: &'a str,
    /// Passes over the training split, in samples.
    pub epoch: f64,
    /// Optimiser steps.
    pub step: u64,
    /// `train` or `val`.
    pub split: &'a str,
    /// Mean loss since the line before; training only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Learning rate of the last step; training only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Plain average accuracy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_accuracy: Option<f64>,
    /// Accuracy of the worst group with samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_group_accuracy: Option<f64>,
    /// Accuracy of the worst class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_class_accuracy: Option<f64>,
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Make the folder of a new run, or open that of an unfinished one.
    ///
    /// # Errors
    /// When the folder holds another run, or `resume` is asked for and there is nothing to resume or other settings.
    pub fn open(path: &Path, config: &RunConfig, resume: bool) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        let exists = folder.file("config.toml").exists();
        if folder.file("results.json").exists() {
            bail!(
                "{} holds a finished run\n  hint: choose another folder with `--out DIR`, or remove that one to run again",
                path.display()
            );
        }
        match (exists, resume) {
            (true, true) => folder.check_same(config)?,
            (true, false) => bail!(
                "{} holds a run that was not finished\n  hint: go on with `--resume`, choose another folder with `--out DIR`, or remove that one",
                path.display()
            ),
            (false, true) => bail!("{} holds no run to resume\n  hint: start it without `--resume`", path.display()),
            (false, false) => {
                // What a killed process left of a file is no reason to refuse the folder: it is written over.
                let unfinished = |name: &std::ffi::OsStr| Path::new(name).extension().is_some_and(|e| e == "part");
                if std::fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|e| !unfinished(&e.file_name()))) {
                    bail!(
                        "{} is not empty and holds no run\n  hint: choose another folder with `--out DIR`",
                        path.display()
                    );
                }
                std::fs::create_dir_all(path)
                    .with_context(|| format!("cannot make the run folder {}", path.display()))?;
                write_atomically(&folder.file("config.toml"), toml::to_string(config)?.as_bytes())?;
            }
        }
        Ok(folder)
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.file("checkpoint"))
    }

    /// The log of metrics, cut to a length that a checkpoint remembers.
    ///
    /// # Errors
    /// When the file cannot be opened or is shorter than it was.
    pub fn metrics(&self, length: u64) -> Result<MetricsLog> {
        let path = self.file("metrics.jsonl");
        let open = || -> std::io::Result<(File, u64)> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let found = file.metadata()?.len();
            file.set_len(length.min(found))?;
            Ok((file, found))
        };
        let (file, found) = open().with_context(|| format!("cannot open {}", path.display()))?;
        if found < length {
            bail!(
                "{} has {found} bytes, the checkpoint knows of {length}\n  hint: remove the run folder and start again",
                path.display()
            );
        }
        Ok(MetricsLog { file, path, length })
    }

    /// Write `results.json`: from here on the run is complete.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_results(&self, results: &Results) -> Result<()> {
        let mut text = serde_json::to_string_pretty(results)?;
        text.push('\n');
        Ok(write_atomically(&self.file("results.json"), text.as_bytes())?)
    }

    fn check_same(&self, config: &RunConfig) -> Result<()> {
        let path = self.file("config.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let before: Table = text.parse().map_err(|e| anyhow!("{}: {e}", path.display()))?;
        let now = Table::try_from(config)?;
        let mut differing = Vec::new();
        differences(&before, &now, "", &mut differing);
        if differing.is_empty() {
            return Ok(());
        }
        Err(UsageError(format!(
            "--resume with other settings than {} was started with:\n  {}\n  hint: give the same settings, or start anew with `--out DIR`",
            self.path.display(),
            differing.join("\n  ")
        ))
        .into())
    }
}

/// Name each key whose value differs, with both values.
fn differences(before: &Table, now: &Table, path: &str, out: &mut Vec<String>) {
    let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let shown = |value: Option<&toml::Value>| value.map_or("not set".to_owned(), ToString::to_string);
        match (before.get(key), now.get(key)) {
            (Some(toml::Value::Table(before)), Some(toml::Value::Table(now))) => differences(before, now, &name, out),
            (before, now) if before != now => out.push(format!("{name}: {} then, {} now", shown(before), shown(now))),
            _ => {}
        }
    }
}

/// An open `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
    length: u64,
}

impl MetricsLog {
    /// Append a line.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn append(&mut self, line: &MetricLine<'_>) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}
