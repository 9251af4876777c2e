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
    stage.training_errors = Some(TrainingErrors { count, errors, minority_errors });
    if let Some(doubt) = doubt(trainer, predictions, errors) {
        trainer.note(&format!("warning: {doubt}"));
        stage.notes.push(doubt);
    }
}

/// Why the errors of a first stage tell nothing of what it leans on, where they do not.
fn doubt(trainer: &Trainer, predictions: &[u32], errors: u64) -> Option<String> {
    let (train, classes) = (&trainer.dataset.train, &trainer.dataset.classes);
    let of_class = |class: u32| {
        let rows = predictions.iter().zip(train.labels()).filter(|(_, label)| **label == class);
        (rows.clone().filter(|(predicted, label)| predicted != label).count(), rows.count())
    };
    let counts: Vec<String> = (0..)
        .zip(classes)
        .map(|(class, name)| {
            let (wrong, count) = of_class(class);
            format!("`{name}` {wrong} of {count}")
        })
        .collect();
    let first = predictions.first()?;
    let only = classes.get(*first as usize).filter(|_| predictions.iter().all(|predicted| predicted == first));
    let what = match only {
        Some(class) if classes.len() > 1 => {
            format!("the first stage predicts `{class}` for every training sample, so its errors are the other classes")
        }
        _ if errors == 0 => {
            "the first stage makes no error on the training samples, so there is nothing to correct".to_owned()
        }
        _ => return None,
    };
    Some(format!("{what}; the next stage goes on all the same. Errors by class: {}", counts.join(", ")))
}
