//! What one stage of a method is.

use super::batches::batches_per_pass;
use crate::config::settings::{OptimizerSettings, TrainingSettings};

/// What one stage of a method is.
#[derive(Debug, Clone, Copy)]
pub struct StagePlan<'a> {
    /// Name in files.
    pub(crate) name: &'a str,
    /// Name for people.
    pub(crate) title: &'a str,
    /// Optimiser steps.
    pub(crate) steps: u64,
    /// Optimiser steps that make one pass over the training split.
    pub(crate) steps_per_epoch: f64,
    /// Optimiser steps between two evaluations.
    pub(crate) evaluate_every: u64,
    /// How parameters are updated.
    pub(crate) optimizer: &'a OptimizerSettings,
    /// Decay of the moving average of the weights that is evaluated and selected; 0 takes the weights themselves.
    pub(crate) averaging: f64,
    /// Which of its weights are the stage's.
    pub(crate) taken: Taken,
}

/// Which weights of a stage are its figures, and what goes on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Those that the run's rule selects on validation: of a stage that may be what the run reports.
    Selected,
    /// Those after the last step: of a stage that another one goes on from. Which checkpoint of it is the best by group does
    /// not matter there, and an early one would pass for a plain model that it is not.
    Last,
}

impl<'a> StagePlan<'a> {
    /// The stage that these settings describe, with its name in files and for people, where an epoch has so many samples.
    #[must_use]
    pub fn new(settings: &'a TrainingSettings, name: &'a str, title: &'a str, samples: usize) -> Self {
        let steps_per_epoch = batches_per_pass(samples as u64, settings.batch_size);
        Self {
            name,
            title,
            steps: if settings.steps > 0 { settings.steps } else { settings.epochs.saturating_mul(steps_per_epoch) },
            steps_per_epoch: steps_per_epoch as f64,
            evaluate_every: if settings.evaluate_every > 0 { settings.evaluate_every } else { steps_per_epoch },
            optimizer: &settings.optimizer,
            averaging: settings.weight_averaging,
            taken: Taken::Selected,
        }
    }

    /// The same for a stage that another one goes on from, as it is after its last step.
    #[must_use]
    pub fn first(self) -> Self {
        Self { taken: Taken::Last, ..self }
    }
}
