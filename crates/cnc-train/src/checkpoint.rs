//! Checkpoints: everything that the next bit of a run depends on.
//!
//! `checkpoint/last.safetensors` holds the stage in progress: weights, optimiser moments, the best weights so far and
//! the counters. `checkpoint/<stage>.safetensors` holds a finished stage: its last and its selected weights, and its
//! results. Generators need no place in them: every draw is a function of the run's seed and the step.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use cnc_nn::files::write_atomically;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::results::{Selected, StageResult};

/// Named tensors in a fixed order.
pub type Tensors = BTreeMap<String, Tensor>;

/// The counters of a stage in progress.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Name of the stage.
    pub stage: String,
    /// Finished optimiser steps.
    pub step: u64,
    /// Sum of the losses since the last evaluation.
    pub loss_sum: f64,
    /// Number of losses in the sum.
    pub loss_count: u64,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Seconds that the stage took up to here.
    pub duration_s: f64,
    /// Length of `metrics.jsonl` in bytes: what was logged later is logged again.
    pub metrics_length: u64,
}

/// The best evaluation of a stage so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Best {
    /// What was selected.
    pub selected: Selected,
    /// Plain average accuracy: decides between equal values of the metric.
    pub average: f64,
}

/// A stage in progress.
#[derive(Debug)]
pub struct InProgress {
    /// The counters.
    pub counters: Counters,
    /// The model's weights.
    pub model: Tensors,
    /// The moving average of the weights; empty where the stage keeps none.
    pub average: Tensors,
    /// The best weights so far; empty before the first evaluation.
    pub best: Tensors,
    /// The optimiser's moments.
    pub optimizer: Tensors,
}

/// A finished stage.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its results.
    pub result: StageResult,
    /// Length of `metrics.jsonl` in bytes when it ended.
    pub metrics_length: u64,
    /// The weights after the last step.
    pub last: Tensors,
    /// The weights that its selection rule chose.
    pub selected: Tensors,
}

#[derive(Serialize, Deserialize)]
struct FinishedHeader {
    result: StageResult,
    metrics_length: u64,
}

/// The checkpoint folder of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in a folder, which is made when the first one is written.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Save a stage in progress in place of the one before.
    ///
    /// # Errors
    /// When the file cannot be written; the checkpoint before it stays.
    pub fn save_in_progress(&self, state: &InProgress) -> Result<()> {
        let parts = [
            ("model", &state.model),
            ("average", &state.average),
            ("best", &state.best),
            ("optimizer", &state.optimizer),
        ];
        self.write("last", &serde_json::to_string(&state.counters)?, &parts)
    }

    /// The stage in progress, if it is the named one.
    ///
    /// # Errors
    /// When the file is there and not a checkpoint.
    pub fn in_progress(&self, stage: &str, device: &Device) -> Result<Option<InProgress>> {
        let Some((counters, mut parts)) = self.read::<Counters>("last", device)? else { return Ok(None) };
        if counters.stage != stage {
            return Ok(None);
        }
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        Ok(Some(InProgress {
            model: part("model"),
            average: part("average"),
            best: part("best"),
            optimizer: part("optimizer"),
            counters,
        }))
    }

    /// Save a finished stage.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_finished(&self, stage: &Finished) -> Result<()> {
        let header = FinishedHeader { result: stage.result.clone(), metrics_length: stage.metrics_length };
        let parts = [("last", &stage.last), ("selected", &stage.selected)];
        self.write(&format!("stage-{}", stage.result.name), &serde_json::to_string(&header)?, &parts)
    }

    /// The named stage, if it is finished.
    ///
    /// # Errors
    /// When the file is there and not a checkpoint.
    pub fn finished(&self, stage: &str, device: &Device) -> Result<Option<Finished>> {
        let Some((header, mut parts)) = self.read::<FinishedHeader>(&format!("stage-{stage}"), device)? else {
            return Ok(None);
        };
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        Ok(Some(Finished {
            last: part("last"),
            selected: part("selected"),
            result: header.result,
            metrics_length: header.metrics_length,
        }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }

    fn write(&self, name: &str, header: &str, parts: &[(&str, &Tensors)]) -> Result<()> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let mut tensors = Vec::new();
        for (part, named) in parts {
            for (name, tensor) in *named {
                tensors.push((format!("{part}/{name}"), tensor.to_device(&Device::Cpu)?.contiguous()?));
            }
        }
        let metadata = HashMap::from([(HEADER.to_owned(), header.to_owned())]);
        let bytes = safetensors::serialize(tensors, Some(metadata))?;
        Ok(write_atomically(&self.path(name), &bytes)?)
    }

    fn read<H: DeserializeOwned>(&self, name: &str, device: &Device) -> Result<Option<(H, BTreeMap<String, Tensors>)>> {
        let path = self.path(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        parse(&bytes, device).map(Some).map_err(|e| broken(&path, &e))
    }
}

/// Key of the header among the file's metadata.
const HEADER: &str = "cnc";

fn parse<H: DeserializeOwned>(bytes: &[u8], device: &Device) -> Result<(H, BTreeMap<String, Tensors>)> {
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes)?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get(HEADER))
        .ok_or_else(|| anyhow!("it has no `{HEADER}` header"))?;
    let header = serde_json::from_str(header)?;
    let mut parts: BTreeMap<String, Tensors> = BTreeMap::new();
    for (name, tensor) in candle_core::safetensors::load_buffer(bytes, device)? {
        let (part, name) = name.split_once('/').ok_or_else(|| anyhow!("tensor `{name}` belongs to no part"))?;
        parts.entry(part.to_owned()).or_default().insert(name.to_owned(), tensor);
    }
    Ok((header, parts))
}

fn broken(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "{} is not a checkpoint of this program: {error:#}\n  hint: remove the file to train that stage again, or the whole folder",
        path.display()
    )
}
