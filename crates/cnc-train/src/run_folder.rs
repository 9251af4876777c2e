//! The folder of a run: what is in it says how far the run got. `results.json` appears last.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use cnc_data::Preparation;
use cnc_nn::files::write_atomically;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::checkpoint::Checkpoints;
use crate::data::DataSettings;
use crate::error::UsageError;
use crate::log::{Log, LogLengths};
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
    /// Where the data are, and what of them is accepted.
    #[serde(skip_serializing_if = "DataSettings::is_default", default)]
    pub data: DataSettings,
    /// The method's settings.
    pub settings: Table,
}

/// Name of the file with the predictions of the saved model: tensor `test`, the class of each row of the test split.
pub const PREDICTIONS: &str = "predictions.safetensors";

/// Name of the file that says what a prediction needs besides the model: a [`Interface`].
pub const INTERFACE: &str = "interface.json";

/// What the model of a run takes and gives, apart from the data that it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Names of the classes, by class index.
    pub classes: Vec<String>,
    /// How inputs become what the model reads.
    pub inputs: Preparation,
}

impl Interface {
    /// Read that of a run.
    ///
    /// # Errors
    /// When the file is missing or not what a run writes.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(INTERFACE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{}: cannot be read, and it says how inputs are prepared for the model; repeat the run",
                path.display()
            )
        })?;
        serde_json::from_str(&text).map_err(|e| {
            anyhow!("{}: {e}\n  hint: the file was changed; restore it, or repeat the run", path.display())
        })
    }

    /// Write it into the folder of a run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_atomically(&folder.file(INTERFACE), text.as_bytes())?)
    }
}

/// What a folder holds of a run.
pub enum Found {
    /// All of it.
    Finished(Box<Results>),
    /// A part, to go on from.
    Unfinished(RunFolder),
    /// Nothing, or nothing that is whole: the run starts anew.
    Nothing,
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

    /// Look for a run with these settings.
    ///
    /// # Errors
    /// When the folder holds a run with other settings.
    pub fn find(path: &Path, config: &RunConfig) -> Result<Found> {
        let folder = Self { path: path.to_owned() };
        if !folder.file("config.toml").exists() {
            return Ok(Found::Nothing);
        }
        folder.check_same(config)?;
        if folder.file("results.json").exists() {
            let results = std::fs::read(folder.file("results.json")).ok();
            let results = results.and_then(|bytes| serde_json::from_slice::<Results>(&bytes).ok());
            let whole = ["model.safetensors", PREDICTIONS]
                .iter()
                .all(|name| cnc_nn::files::read(&folder.file(name), &Device::Cpu).is_ok());
            return Ok(match results.filter(|_| whole) {
                Some(results) => Found::Finished(Box::new(results)),
                None => Found::Nothing,
            });
        }
        Ok(if folder.checkpoints().are_whole() { Found::Unfinished(folder) } else { Found::Nothing })
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

    /// Its log, cut to the lengths that a checkpoint remembers.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn log(&self, lengths: LogLengths) -> Result<Log> {
        Log::open(&self.path, lengths)
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
            "other settings than {} was started with:\n  {}\n  hint: give the same settings, or start anew with `--out DIR`",
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
