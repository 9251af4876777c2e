//! What a run logs while it trains: `metrics.jsonl` for programs and a TensorBoard file for people.
//!
//! Both grow with every evaluation, and a checkpoint remembers how long they were. A resumed run cuts them to that
//! length and logs the steps after it again, so that no step stands in them twice.

mod growing;
pub(crate) mod tensorboard;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use growing::GrowingFile;

use crate::record::{METRICS, MetricLine};

/// Name of the TensorBoard file. TensorBoard takes every file with `tfevents` in its name; the usual time and host are
/// left out, so that a resumed run goes on in the same file.
pub(crate) const EVENTS: &str = "events.out.tfevents.cnc-train";

/// The figures of a line under the names that TensorBoard shows: one card a stage, `cnc/validation worst group accuracy`.
fn scalars(line: &MetricLine) -> Vec<(String, f64)> {
    let split = if line.split == "val" { "validation" } else { &line.split };
    let named = [
        ("loss", line.loss),
        ("learning rate", line.learning_rate),
        ("average accuracy", line.average_accuracy),
        ("worst group accuracy", line.worst_group_accuracy),
        ("worst class accuracy", line.worst_class_accuracy),
    ];
    let tag = |name| format!("{}/{split} {name}", line.stage);
    named.into_iter().filter_map(|(name, value)| Some((tag(name), value?))).collect()
}

/// How long the files of a log are, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLengths {
    /// `metrics.jsonl`.
    pub metrics: u64,
    /// The TensorBoard file.
    pub events: u64,
}

/// The log of a run, open at its end.
#[derive(Debug)]
pub(crate) struct Log {
    metrics: GrowingFile,
    events: GrowingFile,
}

impl Log {
    /// Open the log in a run's folder, cut to the lengths that a checkpoint remembers; new files are of length 0.
    ///
    /// # Errors
    /// When a file cannot be opened, or is shorter than the checkpoint says.
    pub(crate) fn open(folder: &Path, lengths: LogLengths) -> Result<Self> {
        let mut log = Self {
            metrics: GrowingFile::open(folder.join(METRICS), lengths.metrics)?,
            events: GrowingFile::open(folder.join(EVENTS), lengths.events)?,
        };
        if lengths.events == 0 {
            log.events.append(&tensorboard::first_record(now()))?;
        }
        Ok(log)
    }

    /// Log the figures of one step.
    ///
    /// # Errors
    /// When a file cannot be written: the message names it and the bytes that found no place.
    pub(crate) fn append(&mut self, line: &MetricLine) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.metrics.append(text.as_bytes())?;
        self.events.append(&tensorboard::scalars_record(now(), line.step, &scalars(line)))
    }

    /// Bring everything to the disk and say how long the files are there: what a checkpoint may rely on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sync(&self) -> Result<LogLengths> {
        Ok(LogLengths { metrics: self.metrics.sync()?, events: self.events.sync()? })
    }
}

/// Seconds since 1970, for people who look at the curves: nothing that a run computes depends on it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> MetricLine {
        MetricLine {
            stage: "erm".to_owned(),
            epoch: 1.0,
            step,
            split: "train".to_owned(),
            loss: Some(0.5),
            learning_rate: Some(0.01),
            average_accuracy: None,
            worst_group_accuracy: None,
            worst_class_accuracy: None,
        }
    }

    #[test]
    fn what_was_logged_after_the_checkpoint_is_logged_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), LogLengths::default()).unwrap();
        log.append(&line(1)).unwrap();
        let saved = log.sync().unwrap();
        log.append(&line(2)).unwrap();
        drop(log);

        let mut log = Log::open(folder.path(), saved).unwrap();
        log.append(&line(2)).unwrap();
        log.append(&line(3)).unwrap();
        let text = std::fs::read_to_string(folder.path().join(METRICS)).unwrap();
        let steps: Vec<u64> = text.lines().map(|line| serde_json::from_str::<MetricLine>(line).unwrap().step).collect();
        assert_eq!(steps, [1, 2, 3]);
        assert_eq!(tensorboard::tests::steps(&std::fs::read(folder.path().join(EVENTS)).unwrap()), [0, 1, 2, 3]);
    }

    #[test]
    fn a_log_that_lost_its_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = Log::open(folder.path(), LogLengths { metrics: 10, events: 0 }).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl has 0 bytes, the checkpoint knows of 10"), "{message}");
    }

    #[test]
    fn tensorboard_shows_a_card_for_each_stage() {
        let line = MetricLine {
            split: "val".to_owned(),
            loss: None,
            learning_rate: None,
            worst_group_accuracy: Some(0.25),
            ..line(1)
        };
        let names: Vec<String> = scalars(&line).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["erm/validation worst group accuracy"]);
    }
}
