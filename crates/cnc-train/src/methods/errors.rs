//! What a first stage says of the training samples, for the methods that go on from there.

use anyhow::Result;

use crate::training::evaluate::{View, predict};
use crate::training::predictions::Predictions;
use crate::training::{StageResult, TrainingErrors};
use crate::training::{TrainedStage, Trainer};

/// What the plain model says of the training samples after its last step: which checkpoint of it is the best by group
/// does not matter here, and needs group labels to know.
pub(super) fn answers_on_training(trainer: &Trainer, plain: &TrainedStage) -> Result<Predictions> {
    predict(&*trainer.last_model(plain)?, &trainer.dataset.train, View::Centre, &trainer.device)
}

/// The rows of the training split whose prediction is not their class.
pub(super) fn wrong_rows(trainer: &Trainer, predictions: &[u32]) -> Vec<u32> {
    let pairs = predictions.iter().zip(trainer.dataset.train.labels());
    (0..).zip(pairs).filter(|(_, (predicted, label))| predicted != label).map(|(row, _)| row).collect()
}

/// Count the errors of a first stage on the training split, and how many of them are not of the largest group of their
/// class; say so where there is little to learn from them. Group labels serve this report only; training does not see it.
pub(super) fn training_errors(trainer: &Trainer, stage: &mut StageResult, predictions: &[u32]) {
    let train = &trainer.dataset.train;
    let mut largest = vec![0; trainer.dataset.classes.len()];
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
    let errors = wrong_rows(trainer, predictions).len() as u64;
    let count = train.len() as u64;
    trainer.note(&format!(
        "the first stage is wrong on {errors} of {count} training samples; {minority_errors} of them are outside the largest group of their class"
    ));
    let found = TrainingErrors { count, errors, minority_errors };
    let minority = count - largest.iter().sum::<usize>() as u64;
    if let Some(failure) = failure(trainer, &stage.name, predictions, (found.clone(), minority)) {
        trainer.note(&format!("warning: {failure}"));
        stage.failure = Some(failure);
    }
    stage.training_errors = Some(found);
}

/// Why the errors of a first stage tell nothing of what it leans on, where they do not. `minority` are the training samples
/// outside the largest group of their class.
fn failure(
    trainer: &Trainer,
    stage: &str,
    predictions: &[u32],
    (found, minority): (TrainingErrors, u64),
) -> Option<String> {
    let (train, classes) = (&trainer.dataset.train, &trainer.dataset.classes);
    let mut of_classes = vec![(0, 0); classes.len()];
    for (predicted, label) in predictions.iter().zip(train.labels()) {
        if let Some((wrong, count)) = of_classes.get_mut(*label as usize) {
            *wrong += u64::from(predicted != label);
            *count += 1;
        }
    }
    let settings = if stage == "twins" { "twins" } else { "stage1" };
    let longer = format!("try a longer or less regularised first stage: {settings}.epochs, {settings}.optimizer");
    let first = predictions.first()?;
    let only = classes.get(*first as usize).filter(|_| predictions.iter().all(|predicted| predicted == first));
    let largest = of_classes.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let (what, remedy) = match only {
        Some(class) if classes.len() > 1 => (
            format!(
                "the first stage predicts `{class}` for every training sample, so its errors are the other classes"
            ),
            longer,
        ),
        _ if found.errors == 0 => (
            "the first stage makes no error on the training samples, so there is nothing to correct".to_owned(),
            format!("try a shorter or more regularised first stage: {settings}.epochs, {settings}.optimizer"),
        ),
        _ if found.count - found.errors <= largest => (
            format!(
                "the first stage is right on {} of {} training samples, no more than it would be by always naming the largest class",
                found.count - found.errors,
                found.count
            ),
            longer,
        ),
        _ if is_noise(&found, minority) => (
            format!(
                "the errors of the first stage are noise: it is wrong on {} of {minority} training samples outside the largest \
                 group of their class, and no less often on the others",
                found.minority_errors
            ),
            longer,
        ),
        _ => return None,
    };
    let counts: Vec<String> =
        classes.iter().zip(of_classes).map(|(name, (wrong, count))| format!("`{name}` {wrong} of {count}")).collect();
    Some(format!("{what}; the next stage goes on all the same ({remedy}). Errors by class: {}", counts.join(", ")))
}

/// Whether a stage is wrong on samples outside the largest group of their class no more often than on those inside.
fn is_noise(found: &TrainingErrors, minority: u64) -> bool {
    let (inside_errors, inside) = (found.errors - found.minority_errors, found.count - minority);
    minority > 0 && inside > 0 && found.minority_errors * inside <= inside_errors * minority
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_fall_on_every_group_alike_are_noise_and_those_of_the_small_ones_are_not() {
        let found = |errors, minority_errors| TrainingErrors { count: 1000, errors, minority_errors };
        assert!(is_noise(&found(300, 14), 50) && is_noise(&found(300, 15), 50));
        assert!(!is_noise(&found(60, 45), 50));
        assert!(!is_noise(&found(300, 0), 0), "without groups nobody knows");
    }
}
