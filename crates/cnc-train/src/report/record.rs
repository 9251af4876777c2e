//! A finished run as its folder holds it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::log::{METRICS, MetricLine};
use crate::results::Results;
use crate::story::Story;

/// Everything that the report shows of a run.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// `results.json`.
    pub results: Results,
    /// `config.toml`: every setting in force.
    pub settings: toml::Table,
    /// `metrics.jsonl`.
    pub metrics: Vec<MetricLine>,
    /// `story.json`, where the run has one.
    pub story: Option<Story>,
}

/// A run folder that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder has no results: the run is not complete.
    #[error("{}: no results.json, so the run is not complete\n  hint: finish it with the same command and `--resume`", folder.display())]
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

impl RunRecord {
    /// Read a finished run.
    ///
    /// # Errors
    /// When the run is not finished, or a file of it is missing or damaged; the message names the file and the line.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        let results = folder.join("results.json");
        if !results.exists() {
            return Err(RecordError::Unfinished { folder: folder.to_owned() });
        }
        let story = folder.join("story.json");
        let story = if story.exists() { Some(json(&story)?) } else { None };
        Self::of_run(folder, json(&results)?, story)
    }

    /// The record of a run that is about to write its results, from them and what its folder holds already.
    ///
    /// # Errors
    /// As [`RunRecord::read`].
    pub fn of_run(folder: &Path, results: Results, story: Option<Story>) -> Result<Self, RecordError> {
        let settings = settings(&folder.join("config.toml"))?;
        let metrics = metrics(&folder.join(METRICS))?;
        Ok(Self { results, settings, metrics, story })
    }
}

fn text(path: &Path) -> Result<String, RecordError> {
    std::fs::read_to_string(path).map_err(|source| RecordError::Read { path: path.to_owned(), source })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    serde_json::from_str(&text(path)?).map_err(|e| RecordError::Content {
        path: path.to_owned(),
        line: e.line(),
        message: e.to_string(),
    })
}

fn settings(path: &Path) -> Result<toml::Table, RecordError> {
    let text = text(path)?;
    text.parse().map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count();
        RecordError::Content { path: path.to_owned(), line, message: e.message().to_owned() }
    })
}

fn metrics(path: &Path) -> Result<Vec<MetricLine>, RecordError> {
    let lines = text(path)?;
    let filled = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    filled
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|e| RecordError::Content {
                path: path.to_owned(),
                line: index + 1,
                message: e.to_string(),
            })
        })
        .collect()
}
