//! What a run says while it goes on: a terminal shows it, a log keeps it, a program does with it what it likes.

use std::sync::Arc;

/// Something that happened while a run trains.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something that the reader should know, in a sentence.
    Note(&'a str),
    /// Texts are made into tokens.
    Tokenised {
        /// Texts that are done.
        done: usize,
        /// Texts in all.
        total: usize,
    },
    /// A stage begins, or goes on from its checkpoint.
    Started {
        /// Name of the stage for people.
        title: &'a str,
        /// Optimiser steps that it has.
        steps: u64,
        /// Steps that are done already.
        step: u64,
    },
    /// An optimiser step is done.
    Step {
        /// Steps that are done.
        step: u64,
        /// Samples in it.
        samples: u64,
        /// Mean loss since the last evaluation.
        loss: f64,
    },
    /// The stage was evaluated on the validation split.
    Evaluated(&'a Evaluated),
    /// The stage ended, or was interrupted.
    Ended,
}

/// The figures of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Name of the stage.
    pub stage: String,
    /// Epoch, where an epoch is one pass over the training split or its equivalent in samples.
    pub epoch: f64,
    /// Optimiser steps of the stage.
    pub step: u64,
    /// Mean training loss since the evaluation before.
    pub loss: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Plain average accuracy on validation.
    pub average_accuracy: f64,
    /// Accuracy of the worst group with samples.
    pub worst_group_accuracy: Option<f64>,
    /// Accuracy of the worst class.
    pub worst_class_accuracy: Option<f64>,
}

/// What is called with every event of a run.
pub(crate) type Listener = Arc<dyn Fn(&Event<'_>) + Send + Sync>;
