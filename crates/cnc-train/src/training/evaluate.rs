//! Evaluation: a model's predictions on a split, and what they amount to by group.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use cnc_core::evaluation::calibration::BINS;
use cnc_core::evaluation::{Calibration, CounterfactualFlips, area_under_roc};
use cnc_core::{Evaluation, Groups};
use cnc_data::{Augment, Dataset, Draw, Group, Inputs, Split, prefetch};
use cnc_models::{Mode, Model};
use cnc_nn::no_grad;

use super::predictions::Predictions;
use super::results::{GroupResult, SplitResult};
use crate::config::selection::Selection;
use cnc_base::seeds::Seeds;

/// Samples encoded at once: enough to fill the cores, small enough for their caches.
const BATCH: usize = 500;

/// Pixels encoded at once, at most: those of 32 images of 224x224. What a model makes of them takes about a gigabyte.
const PIXELS: usize = 32 * 224 * 224;

/// Batches that the loader may be ahead of the model.
const AHEAD: usize = 3;

/// Which view of an image is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    /// The deterministic one: the centre crop.
    Centre,
    /// The random one of training, drawn from these seeds.
    Random(Seeds),
}

/// Inputs that are encoded at once: images of `(channels, height, width)`, or texts, which have no such shape.
#[must_use]
pub(crate) fn batch_size(shape: Option<(usize, usize, usize)>) -> usize {
    shape.map_or(BATCH, |(_, height, width)| (PIXELS / (height * width).max(1)).clamp(1, BATCH))
}

/// Predict every row of a split, in evaluation mode.
///
/// # Errors
/// When a row cannot be read, or the model does not take it.
pub(crate) fn predict(model: &dyn Model, split: &Arc<Split>, view: View, device: &Device) -> Result<Predictions> {
    let rows: Vec<u32> = (0..split.len() as u32).collect();
    predict_rows(model, split, &rows, view, device)
}

/// Predict some rows of a split, in their order.
///
/// # Errors
/// As [`predict`].
pub(crate) fn predict_rows(
    model: &dyn Model,
    split: &Arc<Split>,
    rows: &[u32],
    view: View,
    device: &Device,
) -> Result<Predictions> {
    let most = batch_size(split.shape());
    let places = split.evaluation_batches(rows, most);
    let draws: Vec<Draw<Vec<usize>>> = (0..)
        .zip(places)
        .map(|(index, places): (u64, Vec<usize>)| {
            let augment = match view {
                View::Centre => Augment::None,
                View::Random(seeds) => Augment::Random { seed: seeds.at(index).value() },
            };
            let rows = places.iter().filter_map(|place| rows.get(*place)).copied().collect();
            Draw { rows, augment, tag: places }
        })
        .collect();
    let dim = model.dim();
    let mut out = Predictions {
        classes: vec![0; rows.len()],
        confidences: vec![0.0; rows.len()],
        representations: vec![0.0; rows.len() * dim],
        dim,
        batch: most,
    };
    for item in prefetch(Arc::clone(split), draws.into_iter(), AHEAD) {
        let (batch, places) = item?;
        let inputs = batch.inputs.on_device(device)?;
        let representation = no_grad(|| model.encode(&inputs, Mode::Eval))?.detach();
        let mut answers = Predictions { dim, ..Predictions::default() };
        answers.answer(model, &representation)?;
        answers.representations = representation.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        out.put(&places, &answers);
    }
    Ok(out)
}

/// Probabilities `(batch, classes)` that a model gives a batch in evaluation mode, row by row.
///
/// # Errors
/// When the model does not take the inputs.
pub(crate) fn probabilities(model: &dyn Model, inputs: Inputs, device: &Device) -> Result<Vec<f32>> {
    let logits = no_grad(|| -> Result<Tensor> {
        let representations = model.encode(&inputs.on_device(device)?, Mode::Eval)?;
        Ok(model.classify(&representations, Mode::Eval)?.to_dtype(DType::F32)?)
    })?;
    let probabilities = logits.broadcast_sub(&logits.log_sum_exp(D::Minus1)?.unsqueeze(D::Minus1)?)?.exp()?;
    Ok(probabilities.flatten_all()?.to_vec1::<f32>()?)
}

/// What a model's weights are worth on a split.
#[derive(Debug, Clone)]
pub(crate) struct Score {
    /// The metric that the selection rule maximises.
    pub(crate) metric: String,
    /// Its value.
    pub(crate) value: f64,
    /// Plain average accuracy.
    pub(crate) average: f64,
    /// Accuracy of the worst group with samples.
    pub(crate) worst_group: Option<f64>,
    /// Accuracy of the worst class.
    pub(crate) worst_class: Option<f64>,
    /// Name of the class that is predicted for every sample, where one is.
    pub(crate) only_prediction: Option<String>,
    /// What other rules say of the same predictions.
    pub(crate) others: Vec<(Selection, f64)>,
}

impl Score {
    /// An evaluation by the true groups, and what the run's rule and others make of the same predictions.
    pub(crate) fn new(
        evaluation: &Evaluation,
        (metric, value): (&str, f64),
        others: Vec<(Selection, f64)>,
        classes: &[String],
    ) -> Self {
        Self {
            metric: metric.to_owned(),
            value,
            average: evaluation.average().accuracy().unwrap_or(0.0),
            worst_group: evaluation.worst_group().and_then(|(_, worst)| worst.accuracy()),
            worst_class: evaluation.worst_class().and_then(|(_, worst)| worst.accuracy()),
            only_prediction: evaluation.only_prediction().and_then(|class| classes.get(class as usize)).cloned(),
            others,
        }
    }
}

/// Per-group evaluation of predictions on a split.
///
/// # Errors
/// When the number of predictions is not that of the split's rows.
pub(crate) fn evaluation(split: &Split, predictions: &[u32]) -> Result<Evaluation> {
    Ok(Evaluation::new(split.labels(), predictions, &groups_of(split.groups(), split.len())?)?)
}

/// A split's groups as the figures take them.
///
/// # Errors
/// When a group has a row that the split has not.
pub(crate) fn groups_of(groups: &[Group], rows: usize) -> cnc_core::Result<Groups> {
    Groups::new(groups.iter().map(|group| &group.rows[..]), rows)
}

/// The figures of predictions on a split, with the names of the dataset.
///
/// # Errors
/// When the number of predictions is not that of the split's rows.
pub(crate) fn summarise(dataset: &Dataset, split: &Split, predictions: &Predictions) -> Result<SplitResult> {
    let (classes, confidences) = (&predictions.classes, &predictions.confidences);
    let evaluation = evaluation(split, classes)?;
    let right: Vec<bool> = classes.iter().zip(split.labels()).map(|(class, label)| class == label).collect();
    let calibration_of = |rows: &[u32]| {
        let of_rows =
            rows.iter().filter_map(|row| Some((*confidences.get(*row as usize)?, *right.get(*row as usize)?)));
        let (confidences, right): (Vec<f32>, Vec<bool>) = of_rows.unzip();
        Ok::<_, cnc_core::Error>(Calibration::new(&confidences, &right, BINS)?.error())
    };
    let train_counts: Vec<usize> = dataset.train.groups().iter().map(|group| group.rows.len()).collect();
    let groups: Vec<GroupResult> = split
        .groups()
        .iter()
        .zip(evaluation.groups())
        .map(|(group, proportion)| {
            Ok(GroupResult {
                name: group.name.clone(),
                class: dataset.classes.get(group.class as usize).cloned().unwrap_or_default(),
                attribute: group.attribute.clone(),
                count: proportion.count as u64,
                correct: proportion.correct as u64,
                accuracy: proportion.accuracy(),
                interval: proportion.wilson(),
                calibration_error: calibration_of(&group.rows)?,
            })
        })
        .collect::<Result<_>>()?;
    let worst = evaluation.worst_group();
    let flips = split.counterfactuals().map(|versions| CounterfactualFlips::count(classes, versions)).transpose()?;
    Ok(SplitResult {
        split: split.name().as_str().to_owned(),
        count: split.len() as u64,
        average_accuracy: evaluation.average().accuracy().unwrap_or(0.0),
        average_interval: evaluation.average().wilson(),
        // Groups that overlap miss the samples that are in none, and count others several times: no average of all.
        adjusted_average_accuracy: match evaluation.groups_overlap() {
            true => None,
            false => evaluation.adjusted_average(&train_counts)?,
        },
        mean_group_accuracy: evaluation.group_mean(),
        worst_group_accuracy: worst.and_then(|(_, worst)| worst.accuracy()),
        worst_group_interval: worst.and_then(|(_, worst)| worst.wilson()),
        worst_group: worst.and_then(|(index, _)| groups.get(index)).map(|group| group.name.clone()),
        worst_class_accuracy: evaluation.worst_class().and_then(|(_, worst)| worst.accuracy()),
        worst_class_precision: evaluation.worst_precision().and_then(|(_, worst)| worst.accuracy()),
        worst_class_f1: evaluation.worst_f1().map(|(_, worst)| worst),
        auroc: if dataset.classes.len() == 2 { area_of_two(split.labels(), predictions)? } else { None },
        calibration_error: Calibration::new(confidences, &right, BINS)?.error(),
        flip_rate: flips.and_then(|flips| flips.rate()),
        groups_overlap: evaluation.groups_overlap(),
        groups,
    })
}

/// The area under the ROC curve of the second of two classes.
fn area_of_two(labels: &[u32], predictions: &Predictions) -> Result<Option<f64>> {
    let of_second = |(class, confidence): (&u32, &f32)| if *class == 1 { *confidence } else { 1.0 - confidence };
    let scores: Vec<f32> = predictions.classes.iter().zip(&predictions.confidences).map(of_second).collect();
    let positive: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
    Ok(area_under_roc(&scores, &positive)?)
}
