//! Evaluation: a model's predictions on a split, and what they amount to by group.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use cnc_core::{CounterfactualFlips, Evaluation};
use cnc_data::{Augment, Dataset, Draw, Split, prefetch};
use cnc_models::{Mode, Model};
use cnc_nn::no_grad;

use crate::inputs::to_model;
use crate::results::{GroupResult, SplitResult};
use crate::seeds::Seeds;

/// Samples encoded at once: enough to fill the cores, small enough for their caches.
const BATCH: usize = 500;

/// Pixels encoded at once, at most: those of 32 images of 224x224. What a model makes of them takes about a gigabyte.
const PIXELS: usize = 32 * 224 * 224;

/// Batches that the loader may be ahead of the model.
const AHEAD: usize = 3;

/// A model's answers on a split, in row order.
#[derive(Debug, Clone, Default)]
pub struct Predictions {
    /// Predicted class of each row.
    pub classes: Vec<u32>,
    /// Probability of the predicted class.
    pub confidences: Vec<f32>,
    /// Representations `(rows, dim)`, row by row.
    pub representations: Vec<f32>,
    /// Width of a representation.
    pub dim: usize,
}

/// Which view of an image is evaluated.
#[derive(Debug, Clone, Copy)]
pub enum View {
    /// The deterministic one: the centre crop.
    Centre,
    /// The random one of training, drawn from these seeds.
    Random(Seeds),
}

/// Predict every row of a split, in evaluation mode.
///
/// # Errors
/// When a row cannot be read, or the model does not take it.
pub fn predict(model: &dyn Model, split: &Arc<Split>, view: View, device: &Device) -> Result<Predictions> {
    let rows: Vec<u32> = (0..split.len() as u32).collect();
    let (_, height, width) = split.shape();
    let batch_size = (PIXELS / (height * width).max(1)).clamp(1, BATCH);
    let draws: Vec<Draw<()>> = rows
        .chunks(batch_size)
        .enumerate()
        .map(|(index, rows)| {
            let augment = match view {
                View::Centre => Augment::None,
                View::Random(seeds) => Augment::Random { seed: seeds.at(index as u64).value() },
            };
            Draw { rows: rows.to_vec(), augment, tag: () }
        })
        .collect();
    let mut out = Predictions { dim: model.dim(), ..Predictions::default() };
    for item in prefetch(Arc::clone(split), draws.into_iter(), AHEAD) {
        let (batch, ()) = item?;
        let inputs = to_model(batch.inputs, device)?;
        let (representation, logits) = no_grad(|| {
            let representation = model.encode(&inputs, Mode::Eval)?;
            let logits = model.classify(&representation, Mode::Eval)?;
            Ok::<_, cnc_models::Error>((representation.detach(), logits.detach()))
        })?;
        let logits = logits.to_dtype(DType::F32)?;
        out.classes.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
        out.confidences.extend(confidence(&logits)?);
        out.representations.extend(representation.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(out)
}

/// Probability of the most likely class: `(batch, classes)` logits to `batch` values.
fn confidence(logits: &Tensor) -> candle_core::Result<Vec<f32>> {
    let largest = logits.max(D::Minus1)?;
    (largest - logits.log_sum_exp(D::Minus1)?)?.exp()?.to_vec1::<f32>()
}

/// Per-group evaluation of predictions on a split.
///
/// # Errors
/// When the number of predictions is not that of the split's rows.
pub fn evaluation(split: &Split, predictions: &[u32]) -> Result<Evaluation> {
    let groups: Vec<Vec<u32>> = split.groups().iter().map(|group| group.rows.clone()).collect();
    Ok(Evaluation::new(split.labels(), predictions, &groups)?)
}

/// The figures of predictions on a split, with the names of the dataset.
///
/// # Errors
/// When the number of predictions is not that of the split's rows.
pub fn summarise(dataset: &Dataset, split: &Split, predictions: &[u32]) -> Result<SplitResult> {
    let evaluation = evaluation(split, predictions)?;
    let train_counts: Vec<usize> = dataset.train.groups().iter().map(|group| group.rows.len()).collect();
    let groups: Vec<GroupResult> = split
        .groups()
        .iter()
        .zip(evaluation.groups())
        .map(|(group, proportion)| GroupResult {
            name: group.name.clone(),
            class: dataset.classes.get(group.class as usize).cloned().unwrap_or_default(),
            attribute: group.attribute.clone(),
            count: proportion.count as u64,
            correct: proportion.correct as u64,
            accuracy: proportion.accuracy(),
            interval: proportion.wilson(),
        })
        .collect();
    let worst = evaluation.worst_group();
    let flips =
        split.counterfactuals().map(|versions| CounterfactualFlips::count(predictions, versions)).transpose()?;
    Ok(SplitResult {
        split: split.name().as_str().to_owned(),
        count: split.len() as u64,
        average_accuracy: evaluation.average().accuracy().unwrap_or(0.0),
        average_interval: evaluation.average().wilson(),
        adjusted_average_accuracy: evaluation.adjusted_average(&train_counts)?,
        mean_group_accuracy: evaluation.group_mean(),
        worst_group_accuracy: worst.and_then(|(_, worst)| worst.accuracy()),
        worst_group_interval: worst.and_then(|(_, worst)| worst.wilson()),
        worst_group: worst.and_then(|(index, _)| groups.get(index)).map(|group| group.name.clone()),
        worst_class_accuracy: evaluation.worst_class().and_then(|(_, worst)| worst.accuracy()),
        flip_rate: flips.and_then(|flips| flips.rate()),
        groups_overlap: evaluation.groups_overlap(),
        groups,
    })
}
