//! A trained stage, as a method hands it on.

use std::time::Instant;

use cnc_core::ContrastiveBatch;
use cnc_models::Model;

use super::objective::Tensors;
use super::predictions::Predictions;
use super::results::StageResult;

/// A trained stage.
pub struct TrainedStage {
    /// The model; it holds the selected weights.
    pub model: Box<dyn Model>,
    /// The figures of the selected weights.
    pub result: StageResult,
    /// The weights after the last step.
    pub(crate) last: Tensors,
    /// Its answers on the test split.
    pub(crate) test: Predictions,
    /// What it says of the training split, where the method goes on from there.
    pub(crate) training: Option<Training>,
}

/// A stage's answers on the training split, and a contrastive batch that they lead to.
pub(crate) struct Training {
    /// The answers.
    pub(crate) predictions: Predictions,
    /// A batch to show in the report.
    pub(crate) batch: ContrastiveBatch,
}

/// A stage that is fitted at once, without optimiser steps over batches.
pub(crate) struct Fit {
    /// Name in files.
    pub(crate) name: &'static str,
    /// Name for people.
    pub(crate) title: &'static str,
    /// Steps of the fit that it was stopped after, where a selection rule stopped it; else 0.
    pub(crate) step: u64,
    /// What the selection rule says of it on samples that it was not fitted to, where the validation split is not that.
    pub(crate) value: Option<f64>,
    /// When it began.
    pub(crate) start: Instant,
    /// Remarks for the reader.
    pub(crate) notes: Vec<String>,
}

/// What the encoder of such a stage makes of the splits that figures are taken on.
pub(crate) struct Encoded<'a> {
    /// The validation split.
    pub(crate) validation: &'a Predictions,
    /// The test split.
    pub(crate) test: &'a Predictions,
}
