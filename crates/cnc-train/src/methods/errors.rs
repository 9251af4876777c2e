//! What a first stage says of the training samples, for the methods that go on from there.

use anyhow::Result;

use crate::evaluate::{Predictions, View, predict};
use crate::results::TrainingErrors;
use crate::run::{Run, TrainedStage};
use crate::say::note;

/// What the plain model says of the training samples after its last step: which checkpoint of it is the best by group
/// does not matter here, and needs group labels to know.
pub(super) fn answers_on_training(run: &Run, plain: &TrainedStage) -> Result<Predictions> {
    predict(&*run.last_model(plain)?, &run.dataset.train, View::Centre, &run.device)
}

/// The rows of the training split whose prediction is not their class.
pub(super) fn wrong_rows(run: &Run, predictions: &[u32]) -> Vec<u32> {
    let pairs = predictions.iter().zip(run.dataset.train.labels());
    (0..).zip(pairs).filter(|(_, (predicted, label))| predicted != label).map(|(row, _)| row).collect()
}

/// Count the errors on the training split, and how many of them are not of the largest group of their class. Group
/// labels serve this report only; training does not see it.
pub(super) fn training_errors(run: &Run, predictions: &[u32]) -> TrainingErrors {
    let train = &run.dataset.train;
    let mut largest = vec![0; run.dataset.classes.len()];
    for group in train.training_groups() {
        if let Some(size) = largest.get_mut(group.class as usize) {
            *size = (*size).max(group.rows.len());
        }
    }
    let wrong = |row: &&u32| predictions.get(**row as usize) != train.labels().get(**row as usize);
    let minority_errors = train
        .training_groups()
        .iter()
        .filter(|group| largest.get(group.class as usize).is_some_and(|size| group.rows.len() < *size))
        .map(|group| group.rows.iter().filter(wrong).count() as u64)
        .sum();
    let errors = wrong_rows(run, predictions).len() as u64;
    let count = train.len() as u64;
    note!(
        "the first stage is wrong on {errors} of {count} training samples; {minority_errors} of them are outside the largest group of their class"
    );
    TrainingErrors { count, errors, minority_errors }
}
