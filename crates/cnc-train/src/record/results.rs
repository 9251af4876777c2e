//! What a run found, as `results.json` holds it: accuracies are fractions in `[0, 1]`.
//!
//! Every figure stands beside what it cost and how it was chosen: label budget, selection rule, n, and a Wilson
//! 95 % interval. A group without samples has `count` 0 and no accuracy (`null`), never 0 and never NaN.

use serde::{Deserialize, Serialize};

use crate::training::{Selected, SplitResult, StageResult};

/// The whole of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of the program that made the run.
    pub version: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Name of the method.
    pub method: String,
    /// Name of the model.
    pub model: String,
    /// Seed of the run.
    pub seed: u64,
    /// Device that it ran on, for example `cpu`.
    pub device: String,
    /// Number of compute threads.
    pub threads: usize,
    /// `--limit`, where one was given: figures of a cut-down run must not look like those of a whole one.
    pub limit: Option<usize>,
    /// What became of the weights that `--init` names: how many of its tensors were loaded, and what was drawn from the seed;
    /// empty where none were asked for.
    #[serde(default)]
    pub weights: Vec<String>,
    /// What a user should know of the data, such as how many texts were cut.
    #[serde(default)]
    pub data: Vec<String>,
    /// Rows that were left out because their images cannot be read.
    #[serde(default)]
    pub skipped_rows: u64,
    /// Wall clock of all stages and evaluations in seconds.
    pub duration_s: f64,
    /// The most memory that the process held while it ran, in bytes; none where the system does not tell.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Which group labels were used, and what for.
    pub label_budget: String,
    /// How the reported model was chosen among those of the run.
    pub selection_rule: String,
    /// The stages in the order in which they ran.
    pub stages: Vec<StageResult>,
    /// The model that the run reports and saves.
    pub selected: Selected,
    /// The selected model on the validation split.
    pub val: SplitResult,
    /// The selected model on the test split.
    pub test: SplitResult,
}
