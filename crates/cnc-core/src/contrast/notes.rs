//! What a log should tell of slices and of the pools that batches are drawn from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many samples a slice, and the class of the same index, has in each role, before any fall-back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceCounts {
    /// The slice, and the class.
    pub slice: u32,
    /// Samples of the class that are in the slice.
    pub anchors: usize,
    /// Samples of other classes that are in the slice.
    pub negatives: usize,
    /// Samples of the class that are in other slices.
    pub positives: usize,
}

impl SliceCounts {
    /// Number of samples in the slice.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.anchors + self.negatives
    }
}

impl fmt::Display for SliceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slice, anchors, negatives, positives } = self;
        write!(f, "slice {slice}: {} samples, {anchors} anchors, {negatives} negatives", self.samples())?;
        write!(f, "; class {slice}: {} samples, {positives} positives", anchors + positives)
    }
}

/// A deviation from the plain definitions that a log should tell of; [`Display`](fmt::Display) gives the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fallback {
    /// No sample at all is predicted wrongly.
    NoErrors {
        /// Number of samples.
        samples: usize,
    },
    /// All samples are in one slice: the model predicts one class only.
    OneSlice {
        /// That slice.
        slice: u32,
        /// Number of samples.
        samples: usize,
    },
    /// The slice has no sample of its class; no contrastive batch is drawn for it.
    SliceWithoutAnchors {
        /// The slice.
        slice: u32,
        /// Number of its samples, all of other classes; they still are positives of their classes.
        samples: usize,
    },
    /// The slice has no sample of another class; all samples of the other classes are its negatives.
    SliceWithoutErrors {
        /// The slice.
        slice: u32,
        /// Number of negatives that it takes instead.
        negatives: usize,
    },
    /// The class has no sample in another slice; all samples of the class are its positives.
    ClassWithoutErrors {
        /// The class.
        class: u32,
        /// Number of positives that it takes instead.
        positives: usize,
    },
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoErrors { samples } => write!(
                f,
                "error set empty (0 of {samples}): the first model leaves nothing to infer the spurious attribute from; \
                 train it for fewer epochs or with stronger weight decay"
            ),
            Self::OneSlice { slice, samples } => write!(
                f,
                "all {samples} samples are predicted as class {slice}: one slice only; train the first model longer or \
                 with another learning rate"
            ),
            Self::SliceWithoutAnchors { slice, samples: 0 } => {
                write!(f, "slice {slice} is empty: nothing is predicted as class {slice}; the slice is skipped")
            }
            Self::SliceWithoutAnchors { slice, samples } => write!(
                f,
                "slice {slice} has no anchors: none of its {samples} samples is of class {slice}; the slice is skipped"
            ),
            Self::SliceWithoutErrors { slice, negatives } => write!(
                f,
                "slice {slice} has no wrong samples: all {negatives} samples of other classes are its negatives"
            ),
            Self::ClassWithoutErrors { class, positives } => {
                write!(f, "class {class} has no wrong samples: all {positives} samples of the class are its positives")
            }
        }
    }
}

/// The role of a row in a contrastive batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Anchors of a slice.
    Anchors,
    /// Positives of a class.
    Positives,
    /// Negatives of a slice.
    Negatives,
}

/// A pool with fewer rows than a part: it is drawn from with replacement. [`Display`](fmt::Display) gives the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallPool {
    /// The slice, or for positives the class.
    pub slice: u32,
    /// What the rows are.
    pub role: Role,
    /// Number of rows.
    pub size: usize,
    /// Rows drawn for each batch.
    pub per_part: usize,
}

impl fmt::Display for SmallPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slice, role, size, per_part } = self;
        let (owner, role) = match role {
            Role::Anchors => ("slice", "anchors"),
            Role::Positives => ("class", "positives"),
            Role::Negatives => ("slice", "negatives"),
        };
        write!(f, "{owner} {slice} has {size} {role} for the {per_part} of a batch: drawn with replacement")
    }
}
