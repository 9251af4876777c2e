//! What a finished run's model gets wrong, and what that goes with.
//!
//! [`inspect`] looks at a split that the model was not trained on: confusion, calibration, the slices that errors gather in, labels
//! that are likely wrong. [`findings`] asks what the errors go with, [`files`] writes it all down, [`words`] says it in sentences.

pub(crate) mod files;
pub(crate) mod findings;
pub(crate) mod words;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use cnc_base::seeds::Seeds;
use cnc_core::evaluation::calibration::BINS;
use cnc_core::evaluation::{Calibration, LabelIssue, label_issues};
use cnc_data::{Dataset, Manifest, Split, SplitName};
use cnc_models::{Mode, Model};
use cnc_nn::no_grad;
use serde::Serialize;

use crate::record::FinishedRun;
use crate::training::SplitResult;
use crate::training::evaluate::{View, predict, summarise};
use crate::training::predictions::Predictions;
use findings::{Described, described};

/// Representations that the classifier is given at once.
const BATCH: usize = 4096;

/// What was found out about a model on a split.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    /// Name of the run.
    pub(crate) run: String,
    /// Name of its method.
    pub(crate) method: String,
    /// Name of the dataset.
    pub(crate) dataset: String,
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    /// Its figures on the split, by group too.
    pub(crate) figures: SplitResult,
    /// For each class the number of its samples that are predicted as each class.
    pub(crate) confusion: Vec<Vec<u64>>,
    /// Accuracy against confidence.
    pub(crate) calibration: Calibration,
    /// What errors go with, the confirmed first.
    pub(crate) findings: Vec<Described>,
    /// The samples of which the model prefers another class than their label, those first where it is as sure as it usually is of
    /// that class, then the surest; none of training, whose labels the
    /// model has seen.
    pub(crate) labels: Vec<DoubtfulLabel>,
    /// The wrong answers, the surest first.
    pub(crate) errors: Vec<WrongAnswer>,
}

/// A wrong answer.
#[derive(Debug, Serialize)]
pub(crate) struct WrongAnswer {
    /// The row of the split.
    pub(crate) row: u32,
    /// Where it stands, or how the text begins.
    pub(crate) sample: String,
    /// Its class.
    pub(crate) class: String,
    /// Its group.
    pub(crate) group: String,
    /// The answer.
    pub(crate) predicted: String,
    /// The probability of the answer.
    pub(crate) confidence: f32,
}

/// A label that the model doubts.
#[derive(Debug, Serialize)]
pub(crate) struct DoubtfulLabel {
    /// The row of the split.
    pub(crate) row: u32,
    /// Where it stands, or how the text begins.
    pub(crate) sample: String,
    /// The label.
    pub(crate) label: String,
    /// What it is more likely.
    pub(crate) likely: String,
    /// The probability of the label less that of the likely class.
    pub(crate) margin: f64,
    /// Whether the model is as sure as it usually is of the likely class.
    pub(crate) is_confident: bool,
}

/// Look at what a run's model makes of a split.
///
/// # Errors
/// When a row or a table of the data cannot be read.
pub(crate) fn inspect(
    run: &FinishedRun,
    model: &dyn Model,
    (manifest, dataset): (&Manifest, &Dataset),
    split: SplitName,
    device: &Device,
) -> Result<Inspection> {
    let of = dataset.split(split);
    let predictions = predict(model, of, View::Centre, device)?;
    let right: Vec<bool> = predictions.classes.iter().zip(of.labels()).map(|(class, label)| class == label).collect();
    let wrong: Vec<bool> = right.iter().map(|right| !right).collect();
    let seeds = Seeds::new(run.results()?.seed).purpose("inspect");
    let labels = match split {
        SplitName::Train => Vec::new(),
        SplitName::Validation | SplitName::Test => doubtful(dataset, of, model, &predictions, device)?,
    };
    Ok(Inspection {
        run: run.name(),
        method: run.results()?.method.clone(),
        dataset: dataset.name.clone(),
        classes: dataset.classes.clone(),
        figures: summarise(dataset, of, &predictions)?,
        confusion: confusion(of.labels(), &predictions.classes, dataset.classes.len()),
        calibration: Calibration::new(&predictions.confidences, &right, BINS)?,
        findings: described(manifest, dataset, split, &wrong, seeds)?,
        labels,
        errors: errors(dataset, of, &predictions),
    })
}

fn confusion(labels: &[u32], predictions: &[u32], classes: usize) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; classes]; classes];
    for (label, predicted) in labels.iter().zip(predictions) {
        if let Some(count) = counts.get_mut(*label as usize).and_then(|row| row.get_mut(*predicted as usize)) {
            *count += 1;
        }
    }
    counts
}

fn class_name(dataset: &Dataset, class: u32) -> String {
    dataset.classes.get(class as usize).cloned().unwrap_or_default()
}

/// Letters of a text that say which one it is.
const LETTERS: usize = 80;

fn sample(split: &Split, row: u32) -> String {
    let place = split.source(row).map_or_else(|| format!("row {row}"), |source| source.to_string());
    match split.text(row) {
        None => place,
        Some(text) => {
            let start: String = text.chars().take(LETTERS).collect();
            let more = if start.len() < text.len() { "..." } else { "" };
            format!("{place}: {}{more}", start.replace(['\n', '\r'], " "))
        }
    }
}

fn errors(dataset: &Dataset, split: &Split, predictions: &Predictions) -> Vec<WrongAnswer> {
    let mut groups = vec![""; split.len()];
    for group in split.training_groups() {
        group.rows.iter().for_each(|row| {
            if let Some(name) = groups.get_mut(*row as usize) {
                *name = &group.name;
            }
        });
    }
    let wrong = |row: u32| {
        let at = row as usize;
        let (predicted, label) = (*predictions.classes.get(at)?, *split.labels().get(at)?);
        (predicted != label).then(|| WrongAnswer {
            row,
            sample: sample(split, row),
            class: class_name(dataset, label),
            group: groups.get(at).copied().unwrap_or_default().to_owned(),
            predicted: class_name(dataset, predicted),
            confidence: predictions.confidences.get(at).copied().unwrap_or_default(),
        })
    };
    let mut errors: Vec<WrongAnswer> = (0..split.len() as u32).filter_map(wrong).collect();
    errors.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    errors
}

fn doubtful(
    dataset: &Dataset,
    split: &Split,
    model: &dyn Model,
    predictions: &Predictions,
    device: &Device,
) -> Result<Vec<DoubtfulLabel>> {
    let mut probabilities = Vec::with_capacity(split.len() * dataset.classes.len());
    for representations in predictions.representations.chunks(BATCH * predictions.dim.max(1)) {
        let rows = representations.len() / predictions.dim.max(1);
        let representations = Tensor::from_slice(representations, (rows, predictions.dim), device)?;
        let logits = no_grad(|| model.classify(&representations, Mode::Eval))?.to_dtype(DType::F32)?;
        let of_rows = logits.broadcast_sub(&logits.log_sum_exp(D::Minus1)?.unsqueeze(D::Minus1)?)?.exp()?;
        probabilities.extend(of_rows.flatten_all()?.to_vec1::<f32>()?);
    }
    let issues = label_issues(&probabilities, split.labels(), dataset.classes.len())?;
    let (confident, others): (Vec<LabelIssue>, Vec<LabelIssue>) =
        issues.into_iter().partition(|issue| issue.is_confident);
    let described = confident.into_iter().chain(others).map(|issue| DoubtfulLabel {
        row: issue.row,
        sample: sample(split, issue.row),
        label: class_name(dataset, issue.label),
        likely: class_name(dataset, issue.likely),
        margin: issue.margin,
        is_confident: issue.is_confident,
    });
    Ok(described.collect())
}
