//! Where the stages of a run are kept, so that they can be gone on with.

use anyhow::Result;
use candle_core::Device;

use super::objective::Tensors;
use super::state::{Best, Finished, InProgress};
use crate::event::Event;

/// Keeps the stages of a run, in the order in which they are trained.
pub(crate) trait Keep {
    /// The named stage, if it is finished.
    fn finished(&self, stage: &str, device: &Device) -> Result<Option<Finished>>;

    /// The named stage, if it is in progress, and its best weights so far. What is logged from here on belongs to it.
    fn in_progress(&self, stage: &str, device: &Device) -> Result<Option<(InProgress, Tensors)>>;

    /// Keep what happened.
    fn event(&self, event: &Event<'_>) -> Result<()>;

    /// Keep the best weights so far. They count from the next [`in progress`](Self::save) on, which has to name them.
    fn save_best(&self, best: &Best, weights: &Tensors) -> Result<()>;

    /// Keep the best weights so far by another rule than the run's, which the metric names. Weights of a step that the stage in
    /// progress has not come to are written again when it does.
    fn save_alternative(&self, best: &Best, weights: &Tensors) -> Result<()>;

    /// Keep a stage in progress in place of the one before.
    fn save(&self, state: &InProgress) -> Result<()>;

    /// Keep a finished stage.
    fn save_finished(&self, stage: &Finished) -> Result<()>;
}
