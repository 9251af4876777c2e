//! Where a stage stands: all that its next bit depends on, and what it ends with.

use serde::{Deserialize, Serialize};

use super::objective::Tensors;
use super::results::{Selected, StageResult};

/// The counters of a stage in progress.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Name of the stage.
    pub(crate) stage: String,
    /// Finished optimiser steps.
    pub(crate) step: u64,
    /// Sum of the losses since the last evaluation.
    pub(crate) loss_sum: f64,
    /// Number of losses in the sum.
    pub(crate) loss_count: u64,
    /// Samples that all batches up to here had.
    pub(crate) samples: u64,
    /// The best evaluation so far.
    pub(crate) best: Option<Best>,
    /// The best evaluations so far by other rules than the run's.
    pub(crate) alternatives: Vec<Best>,
    /// Seconds that the stage took up to here.
    pub(crate) duration_s: f64,
}

/// The best evaluation of a stage so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// What was selected.
    pub(crate) selected: Selected,
    /// Plain average accuracy: decides between equal values of the metric that are above 0.
    pub(crate) average: f64,
}

/// A stage in progress.
#[derive(Debug)]
pub(crate) struct InProgress {
    /// The counters.
    pub(crate) counters: Counters,
    /// The model's weights.
    pub(crate) model: Tensors,
    /// The moving average of the weights; empty where the stage keeps none.
    pub(crate) average: Tensors,
    /// The optimiser's moments.
    pub(crate) optimizer: Tensors,
    /// What the method's objective keeps besides the model.
    pub(crate) objective: Tensors,
}

/// What a stage ends with.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The weights after the last step.
    pub(crate) last: Tensors,
    /// The weights that the selection rule chose.
    pub(crate) selected: Tensors,
    /// What the objective keeps besides the model after the last step.
    pub(crate) objective: Tensors,
}

/// A finished stage with its figures.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// Its figures.
    pub(crate) result: StageResult,
    /// Its weights.
    pub(crate) outcome: Outcome,
}
