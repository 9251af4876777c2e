//! The pictures of a run: samples, counterfactuals and representations, as `story.json` holds them.
//!
//! The report is rebuilt from the run folder alone, so the pictures are stored in it: PNG as base64 for images, the
//! text itself for text.

use serde::{Deserialize, Serialize};

/// The whole of `story.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Story {
    /// Names of the classes; representations refer to them by position.
    pub classes: Vec<String>,
    /// Names of the attributes; representations refer to them by position.
    pub attributes: Vec<String>,
    /// Training samples around the first stage's errors, for methods that contrast them.
    pub contrastive_batch: Option<ContrastiveBatch>,
    /// Test samples of the reported model's worst group that it gets wrong.
    pub worst_group: Option<WorstGroup>,
    /// Test samples in every attribute value, for datasets that have them.
    pub counterfactuals: Vec<Counterfactual>,
    /// Two-dimensional pictures of test representations, one a stage.
    pub representations: Vec<Representations>,
}

/// One contrastive batch: what is pulled together and what is pushed apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContrastiveBatch {
    /// Name for people of the stage whose errors these are.
    pub title: String,
    /// The slice: the class that the stage predicted for anchors and negatives.
    pub slice: String,
    /// Predicted as the slice, and right.
    pub anchors: Vec<Sample>,
    /// Of the anchors' class, but predicted as another.
    pub positives: Vec<Sample>,
    /// Predicted as the slice, but of another class.
    pub negatives: Vec<Sample>,
}

/// The errors of the reported model in its worst group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorstGroup {
    /// Name for people of the reported stage.
    pub title: String,
    /// Name of the group.
    pub group: String,
    /// Number of its test samples.
    pub count: u64,
    /// How many of them are wrong.
    pub wrong: u64,
    /// The first of them in row order.
    pub samples: Vec<Sample>,
}

/// One test sample in every attribute value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counterfactual {
    /// Its class.
    pub class: String,
    /// The versions, which differ in the attribute only.
    pub versions: Vec<Sample>,
}

/// A sample and what the stages said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Row of its split.
    pub row: u32,
    /// What the network saw.
    #[serde(flatten)]
    pub content: Content,
    /// Its class.
    pub class: String,
    /// Its attribute.
    pub attribute: String,
    /// What the stages said, in their order.
    pub predictions: Vec<StageAnswer>,
}

/// The input of a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Content {
    /// An image.
    Picture(Picture),
    /// A text.
    Text(String),
}

/// An image as PNG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// The PNG file as base64.
    pub png: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// What a stage said about a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageAnswer {
    /// Name of the stage for people.
    pub title: String,
    /// The predicted class.
    pub class: String,
    /// Its probability; `null` where it was not kept.
    pub confidence: Option<f64>,
}

/// Test representations of one stage, scaled to length 1, in two dimensions; the four lists are parallel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Representations {
    /// Name of the stage for people.
    pub title: String,
    /// Number of test samples that the shown ones were taken from.
    pub count: u64,
    /// Share of the variance along each of the two coordinates.
    pub explained: [f64; 2],
    /// First coordinate: the first principal component.
    pub x: Vec<f32>,
    /// Second coordinate: the second principal component.
    pub y: Vec<f32>,
    /// Class of each sample.
    pub classes: Vec<u32>,
    /// Attribute of each sample; empty where the dataset names none.
    pub attributes: Vec<u32>,
}
