//! `metrics.jsonl`: the figures of a run while it trained.

use serde::{Deserialize, Serialize};

/// Name of the file with one [`MetricLine`] a line.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// One line of `metrics.jsonl`: a training line carries the loss, a validation line the accuracies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricLine {
    /// Name of the stage.
    pub stage: String,
    /// Epoch, where an epoch is one pass over the training split or its equivalent in samples.
    pub epoch: f64,
    /// Optimiser steps of the stage.
    pub step: u64,
    /// `train` or `val`.
    pub split: String,
    /// Mean loss since the line before; training only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<f64>,
    /// Learning rate of the last step; training only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub learning_rate: Option<f64>,
    /// Plain average accuracy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub average_accuracy: Option<f64>,
    /// Accuracy of the worst group with samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worst_group_accuracy: Option<f64>,
    /// Accuracy of the worst class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worst_class_accuracy: Option<f64>,
}
