//! The figures of a stage, as `results.json` holds them: accuracies are fractions in `[0, 1]`.
//!
//! Every figure stands beside n and a Wilson 95 % interval. A group without samples has `count` 0 and no accuracy (`null`),
//! never 0 and never NaN.

use cnc_core::evaluation::Interval;
use serde::{Deserialize, Serialize};

/// One trained stage of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// Name of the stage, for example `erm`.
    pub name: String,
    /// Name of the stage for people, for example `ERM`.
    pub title: String,
    /// Optimiser steps that the stage ran.
    pub steps: u64,
    /// Samples that the batches of these steps had.
    #[serde(default)]
    pub samples: u64,
    /// Wall clock of the stage in seconds, evaluation included.
    pub duration_s: f64,
    /// The checkpoint of this stage that its figures belong to: the last where another stage goes on from it.
    pub selected: Selected,
    /// The checkpoints that other rules would have chosen, which the run folder has too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Selected>,
    /// What the stage's model gets wrong on the training split, where the method looks at it.
    pub training_errors: Option<TrainingErrors>,
    /// Why the stage has learnt nothing that the next one could go on from, where it has not: the run's figures are not those of
    /// the method then.
    #[serde(default)]
    pub failure: Option<String>,
    /// Remarks of the stage for the reader, for example which fall-backs were taken.
    pub notes: Vec<String>,
    /// The model of the stage on the validation split.
    pub val: SplitResult,
    /// The model of the stage on the test split.
    pub test: SplitResult,
    /// The same with the random crop of training, for comparison with papers that evaluate so.
    pub test_random_crop: Option<SplitResult>,
    /// Mean distance between test representations, each scaled to length 1, of the same class and different attribute. Not the
    /// figure of the CNC paper, which is of squared distances after the whole matrix is normalised (its activations.py:297-334).
    pub alignment_loss: Option<f64>,
}

/// What a stage's model gets wrong on the training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingErrors {
    /// Number of training samples.
    pub count: u64,
    /// How many of them are wrong.
    pub errors: u64,
    /// How many of the wrong ones are not of the largest group of their class.
    pub minority_errors: u64,
}

/// A checkpoint that a selection rule chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// Name of the stage.
    pub stage: String,
    /// Epoch, where an epoch is one pass over the training split or its equivalent in samples.
    pub epoch: f64,
    /// Optimiser step.
    pub step: u64,
    /// The metric that the rule maximises, on the validation split.
    pub metric: String,
    /// Its value for this checkpoint.
    pub value: f64,
}

/// The accuracies of one model on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitResult {
    /// Name of the split.
    pub split: String,
    /// Number of samples.
    pub count: u64,
    /// Plain average accuracy: the share of right samples.
    pub average_accuracy: f64,
    /// Wilson 95 % interval of the plain average.
    pub average_interval: Option<Interval>,
    /// Average of the group accuracies, weighted by the groups' shares of the training split (Sagawa et al. 2020); none where
    /// groups overlap.
    pub adjusted_average_accuracy: Option<f64>,
    /// Unweighted mean of the group accuracies: what SubpopBench calls adjusted accuracy.
    pub mean_group_accuracy: Option<f64>,
    /// Accuracy of the worst group with samples.
    pub worst_group_accuracy: Option<f64>,
    /// Wilson 95 % interval of the worst group's accuracy.
    pub worst_group_interval: Option<Interval>,
    /// Name of the worst group.
    pub worst_group: Option<String>,
    /// Accuracy of the worst class.
    pub worst_class_accuracy: Option<f64>,
    /// Precision of the class with the worst, among those that are predicted.
    #[serde(default)]
    pub worst_class_precision: Option<f64>,
    /// F1 of the class with the worst.
    #[serde(default)]
    pub worst_class_f1: Option<f64>,
    /// Area under the ROC curve of the second class's probability, where there are two classes.
    #[serde(default)]
    pub auroc: Option<f64>,
    /// Expected calibration error over 15 bins of confidence (Guo et al. 2017).
    #[serde(default)]
    pub calibration_error: Option<f64>,
    /// Share of images whose prediction is not the same in every version that differs in the attribute only.
    pub flip_rate: Option<f64>,
    /// Whether a sample can be in several groups, so that the counts add up to more than `count`.
    pub groups_overlap: bool,
    /// The groups in the dataset's order.
    pub groups: Vec<GroupResult>,
}

/// The accuracy of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Name of the group, class and attribute.
    pub name: String,
    /// Name of its class.
    pub class: String,
    /// Name of its spurious attribute.
    pub attribute: String,
    /// Number of samples.
    pub count: u64,
    /// How many are right.
    pub correct: u64,
    /// Accuracy; `null` without samples.
    pub accuracy: Option<f64>,
    /// Wilson 95 % interval; `null` without samples.
    pub interval: Option<Interval>,
    /// Expected calibration error of the group; `null` without samples.
    #[serde(default)]
    pub calibration_error: Option<f64>,
}
