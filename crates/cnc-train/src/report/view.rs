//! What the page shows of a run.

use crate::record::{FinishedRun, MetricLine, RecordError, Results, Story};

/// Everything that the page shows of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunView {
    /// `results.json`.
    pub results: Results,
    /// `config.toml`: every setting in force.
    pub settings: toml::Table,
    /// `metrics.jsonl`.
    pub metrics: Vec<MetricLine>,
    /// `story.json`, where the run has one.
    pub story: Option<Story>,
}

impl RunView {
    /// That of a finished run.
    ///
    /// # Errors
    /// When a file of it is missing or damaged; the message names the file and the line.
    pub(crate) fn of(run: &FinishedRun) -> Result<Self, RecordError> {
        Ok(Self {
            results: run.results()?.clone(),
            settings: run.settings()?,
            metrics: run.metrics()?,
            story: run.story()?.cloned(),
        })
    }
}
