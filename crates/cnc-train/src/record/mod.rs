//! What a run leaves behind: the files of its folder, and a finished run read from them.
//!
//! [`FinishedRun`] reads each file when it is asked for: settings, figures, curves, pictures, predictions, the model. The
//! formats stand beside it: [`Results`] (`results.json`), [`MetricLine`] (`metrics.jsonl`), [`story`] (`story.json`) and
//! [`interface`] (`interface.json`). Nothing here trains, and nothing here writes while a run goes on.

pub(crate) mod finished;
pub(crate) mod interface;
pub(crate) mod metrics;
pub(crate) mod results;
pub(crate) mod story;

pub(crate) use finished::{CHECKPOINTS, FinishedRun, PREDICTIONS, RecordError, best_by};
pub(crate) use metrics::{METRICS, MetricLine};
pub use results::Results;
pub(crate) use story::Story;
