//! Checkpoints: everything that the next bit of a run depends on.
//!
//! `checkpoint/last.safetensors` holds the stage in progress: weights, optimiser moments, what the method keeps besides
//! (the group weights of Group DRO, the second model of LfF) and the counters.
//! `checkpoint/best.safetensors` holds the best weights so far, under the model's own names: `--init` takes it.
//! `checkpoint/best-<metric>.safetensors` hold the best weights by other rules than the run's, as `evaluate --select` takes them.
//! `checkpoint/stage-<name>.safetensors` holds a finished stage: its last and its selected weights, and its results.
//! Generators need no place in them: every draw is a function of the run's seed and the step.
//!
//! `last` says which `best` belongs to it. Better weights go to `best-next.safetensors` first, then `last` is replaced,
//! then the new `best` takes the place of the old one. Whatever moment a run is killed at, the `best` of the `last` that
//! is there is there as well.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use candle_core::{Device, Tensor};
use cnc_base::files::{replace, write_atomically};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::log::LogLengths;
use crate::record::best_by;
use crate::training::state::{Best, Counters, Finished, InProgress, Outcome};
use crate::training::{StageResult, Tensors};

#[derive(Serialize, Deserialize)]
struct InProgressHeader {
    #[serde(flatten)]
    counters: Counters,
    /// How long the log was: what was logged later is logged again.
    log: LogLengths,
}

#[derive(Serialize, Deserialize)]
struct FinishedHeader {
    result: StageResult,
    log: LogLengths,
}

/// The checkpoint folder of a run.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in a folder, which is made when the first one is written.
    #[must_use]
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Save the best weights so far. They count from the next [`save_in_progress`](Self::save_in_progress) on, which has
    /// to name them.
    ///
    /// # Errors
    /// When the file cannot be written; the best weights before it stay.
    pub(crate) fn save_best(&self, best: &Best, weights: &Tensors) -> Result<()> {
        self.write(BEST_NEXT, &serde_json::to_string(best)?, weights.iter().map(|(name, w)| (name.clone(), w)))
    }

    /// Save the best weights so far by another rule than the run's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save_alternative(&self, best: &Best, weights: &Tensors) -> Result<()> {
        self.write(
            &best_by(&best.selected.metric),
            &serde_json::to_string(best)?,
            weights.iter().map(|(name, w)| (name.clone(), w)),
        )
    }

    /// Save a stage in progress in place of the one before.
    ///
    /// # Errors
    /// When the file cannot be written; the checkpoint before it stays.
    pub(crate) fn save_in_progress(&self, state: &InProgress, log: LogLengths) -> Result<()> {
        let parts = [
            ("model", &state.model),
            ("average", &state.average),
            ("optimizer", &state.optimizer),
            ("objective", &state.objective),
        ];
        let header = InProgressHeader { counters: state.counters.clone(), log };
        self.write(LAST, &serde_json::to_string(&header)?, in_parts(&parts))?;
        self.settle_best(state.counters.best.as_ref())
    }

    /// The stage in progress, if it is the named one, its best weights so far, which are empty before its first evaluation,
    /// and how long the log was.
    ///
    /// # Errors
    /// When a file is there and not a checkpoint, or the best weights are not those that the stage speaks of.
    pub(crate) fn in_progress(
        &self,
        stage: &str,
        device: &Device,
    ) -> Result<Option<(InProgress, Tensors, LogLengths)>> {
        let Some((InProgressHeader { counters, log }, tensors)) = self.read(LAST, device)? else { return Ok(None) };
        if counters.stage != stage {
            return Ok(None);
        }
        self.settle_best(counters.best.as_ref())?;
        let best = match &counters.best {
            None => Tensors::new(),
            Some(best) => match self.read::<Best>(BEST, device)? {
                Some((found, weights)) if found == *best => weights,
                _ => bail!(
                    "{} does not hold the weights of step {} of stage `{stage}`, which {} speaks of\n  hint: restore the file, or remove the run folder and start again",
                    self.path(BEST).display(),
                    best.selected.step,
                    self.path(LAST).display()
                ),
            },
        };
        let mut parts = by_part(tensors).map_err(|e| broken(&self.path(LAST), &e))?;
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        let state = InProgress {
            model: part("model"),
            average: part("average"),
            optimizer: part("optimizer"),
            objective: part("objective"),
            counters,
        };
        Ok(Some((state, best, log)))
    }

    /// Put the next best weights in the place of the best ones if `last` names them, or away if it does not.
    fn settle_best(&self, named: Option<&Best>) -> Result<()> {
        let next = self.path(BEST_NEXT);
        let header = match File::open(&next) {
            Ok(file) => header_of(file),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => Err(e.into()),
        };
        let found: Best = header.map_err(|e| broken(&next, &e))?;
        let done = if named == Some(&found) { replace(&next, &self.path(BEST)) } else { std::fs::remove_file(&next) };
        done.with_context(|| format!("cannot put {} in its place", next.display()))
    }

    /// Save a finished stage.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save_finished(&self, stage: &Finished, log: LogLengths) -> Result<()> {
        let Finished { result, outcome } = stage;
        let header = FinishedHeader { result: result.clone(), log };
        let parts = [("last", &outcome.last), ("selected", &outcome.selected), ("objective", &outcome.objective)];
        self.write(&stage_file(&result.name), &serde_json::to_string(&header)?, in_parts(&parts))
    }

    /// The named stage, if it is finished, and how long the log was at its end.
    ///
    /// # Errors
    /// When the file is there and not a checkpoint.
    pub(crate) fn finished(&self, stage: &str, device: &Device) -> Result<Option<(Finished, LogLengths)>> {
        let name = stage_file(stage);
        let Some((FinishedHeader { result, log }, tensors)) = self.read(&name, device)? else { return Ok(None) };
        let mut parts = by_part(tensors).map_err(|e| broken(&self.path(&name), &e))?;
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        let (last, selected, objective) = (part("last"), part("selected"), part("objective"));
        Ok(Some((Finished { result, outcome: Outcome { last, selected, objective } }, log)))
    }

    /// Whether all that is there can be gone on from.
    #[must_use]
    pub(crate) fn are_whole(&self) -> bool {
        let in_progress = match self.read::<InProgressHeader>(LAST, &Device::Cpu) {
            Ok(None) => true,
            Ok(Some((header, _))) => self.in_progress(&header.counters.stage, &Device::Cpu).is_ok(),
            Err(_) => false,
        };
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let stages = names.iter().filter_map(|name| name.strip_prefix("stage-")?.strip_suffix(".safetensors"));
        in_progress && stages.into_iter().all(|stage| self.finished(stage, &Device::Cpu).is_ok())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }

    fn write<'a>(&self, name: &str, header: &str, tensors: impl Iterator<Item = (String, &'a Tensor)>) -> Result<()> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let tensors = tensors
            .map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?.contiguous()?)))
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(HEADER.to_owned(), header.to_owned())]);
        let bytes = safetensors::serialize(tensors, Some(metadata))?;
        Ok(write_atomically(&self.path(name), &bytes)?)
    }

    fn read<H: DeserializeOwned>(&self, name: &str, device: &Device) -> Result<Option<(H, Tensors)>> {
        let path = self.path(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        parse(&bytes, device).map(Some).map_err(|e| broken(&path, &e))
    }
}

const LAST: &str = "last";
const BEST: &str = "best";
const BEST_NEXT: &str = "best-next";

fn stage_file(stage: &str) -> String {
    format!("stage-{stage}")
}

/// Key of the header among the file's metadata.
const HEADER: &str = "cnc";

fn in_parts<'a>(parts: &[(&'a str, &'a Tensors)]) -> impl Iterator<Item = (String, &'a Tensor)> {
    let named = parts.iter().flat_map(|(part, tensors)| tensors.iter().map(move |(name, tensor)| (part, name, tensor)));
    let named: Vec<_> = named.map(|(part, name, tensor)| (format!("{part}/{name}"), tensor)).collect();
    named.into_iter()
}

fn by_part(tensors: Tensors) -> Result<BTreeMap<String, Tensors>> {
    let mut parts: BTreeMap<String, Tensors> = BTreeMap::new();
    for (name, tensor) in tensors {
        let (part, name) = name.split_once('/').ok_or_else(|| anyhow!("tensor `{name}` belongs to no part"))?;
        parts.entry(part.to_owned()).or_default().insert(name.to_owned(), tensor);
    }
    Ok(parts)
}

fn parse<H: DeserializeOwned>(bytes: &[u8], device: &Device) -> Result<(H, Tensors)> {
    let header = header_of(bytes)?;
    Ok((header, candle_core::safetensors::load_buffer(bytes, device)?.into_iter().collect()))
}

/// The header of a file, without its tensors: eight bytes of its length, then JSON that ours is a part of.
fn header_of<H: DeserializeOwned>(mut file: impl Read) -> Result<H> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "__metadata__", default)]
        metadata: HashMap<String, String>,
    }
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut text = Vec::new();
    file.take(u64::from_le_bytes(length)).read_to_end(&mut text)?;
    let head: Head = serde_json::from_slice(&text)?;
    let header = head.metadata.get(HEADER).ok_or_else(|| anyhow!("it has no `{HEADER}` header"))?;
    Ok(serde_json::from_str(header)?)
}

fn broken(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "{} is not a checkpoint of this program: {error:#}\n  hint: remove the file to train that stage again, or the whole folder",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Selected;

    fn weights(value: f32) -> Tensors {
        Tensors::from([("fc.bias".to_owned(), Tensor::new(&[value], &Device::Cpu).unwrap())])
    }

    fn best(step: u64) -> Best {
        let selected =
            Selected { stage: "erm".to_owned(), epoch: 1.0, step, metric: "average_accuracy".to_owned(), value: 0.5 };
        Best { selected, average: 0.5 }
    }

    fn save_last(checkpoints: &Checkpoints, best: Option<Best>) {
        let counters = Counters { stage: "erm".to_owned(), best, ..Counters::default() };
        let nothing = Tensors::new;
        let state = InProgress {
            counters,
            model: weights(0.0),
            average: nothing(),
            optimizer: nothing(),
            objective: nothing(),
        };
        checkpoints.save_in_progress(&state, LogLengths::default()).unwrap();
    }

    fn found(checkpoints: &Checkpoints) -> f32 {
        let (_, best, _) = checkpoints.in_progress("erm", &Device::Cpu).unwrap().unwrap();
        best["fc.bias"].to_vec1::<f32>().unwrap()[0]
    }

    #[test]
    fn the_best_weights_are_those_of_the_last_checkpoint_wherever_saving_stops() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned());
        let next = checkpoints.path(BEST_NEXT);
        checkpoints.save_best(&best(1), &weights(1.0)).unwrap();
        save_last(&checkpoints, Some(best(1)));
        assert_eq!(found(&checkpoints), 1.0);

        // Stopped before `last` was replaced: it still speaks of the old ones.
        checkpoints.save_best(&best(2), &weights(2.0)).unwrap();
        assert_eq!(found(&checkpoints), 1.0);
        assert!(!next.exists());

        // Stopped after `last` was replaced, before the new ones took the place of the old ones.
        checkpoints.save_best(&best(2), &weights(2.0)).unwrap();
        let bytes = std::fs::read(&next).unwrap();
        save_last(&checkpoints, Some(best(2)));
        checkpoints.save_best(&best(1), &weights(1.0)).unwrap();
        std::fs::rename(&next, checkpoints.path(BEST)).unwrap();
        std::fs::write(&next, bytes).unwrap();
        assert_eq!(found(&checkpoints), 2.0);
        assert!(!next.exists());
    }

    #[test]
    fn best_weights_of_another_step_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned());
        save_last(&checkpoints, Some(best(3)));
        let message = checkpoints.in_progress("erm", &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("best.safetensors does not hold the weights of step 3"), "{message}");
    }

    #[test]
    fn a_file_that_is_cut_short_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned());
        save_last(&checkpoints, None);
        let path = checkpoints.path(LAST);
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let message = checkpoints.in_progress("erm", &Device::Cpu).unwrap_err().to_string();
            assert!(message.contains("last.safetensors is not a checkpoint"), "{message}");
        }
    }
}
