//! Evaluation: a model's predictions on a split, and what they amount to by group.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use cnc_core::{CounterfactualFlips, Evaluation};
use cnc_data::{Augment, Dataset, Draw, Inputs, Split, prefetch};
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
    /// Rows that were encoded at a time.
    pub batch: usize,
}

/// Which view of an image is evaluated.
#[derive(Debug, Clone, Copy)]
pub enum View {
    /// The deterministic one: the centre crop.
    Centre,
    /// The random one of training, drawn from these seeds.
    Random(Seeds),
}

/// Inputs that are encoded at once: images of `(channels, height, width)`, or texts, which have no such shape.
#[must_use]
pub fn batch_size(shape: Option<(usize, usize, usize)>) -> usize {
    shape.map_or(BATCH, |(_, height, width)| (PIXELS / (height * width).max(1)).clamp(1, BATCH))
}

/// Predict every row of a split, in evaluation mode.
///
/// # Errors
/// When a row cannot be read, or the model does not take it.
pub fn predict(model: &dyn Model, split: &Arc<Split>, view: View, device: &Device) -> Result<Predictions> {
    let rows: Vec<u32> = (0..split.len() as u32).collect();
    predict_rows(model, split, &rows, view, device)
}

/// Predict some rows of a split, in their order.
///
/// # Errors
/// As [`predict`].
pub fn predict_rows(
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
        let inputs = to_model(batch.inputs, device)?;
        let representation = no_grad(|| model.encode(&inputs, Mode::Eval))?.detach();
        let mut answers = Predictions { dim, ..Predictions::default() };
        answers.answer(model, &representation)?;
        answers.representations = representation.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        out.put(&places, &answers);
    }
    Ok(out)
}

impl Predictions {
    /// Put the answers on some rows into their places.
    fn put(&mut self, places: &[usize], answers: &Self) {
        for (index, place) in places.iter().enumerate() {
            if let (Some(slot), Some(class)) = (self.classes.get_mut(*place), answers.classes.get(index)) {
                *slot = *class;
            }
            if let (Some(slot), Some(confidence)) = (self.confidences.get_mut(*place), answers.confidences.get(index)) {
                *slot = *confidence;
            }
            let range = |place: usize| place * self.dim..(place + 1) * self.dim;
            let (to, from) = (range(*place), range(index));
            if let (Some(slot), Some(values)) = (self.representations.get_mut(to), answers.representations.get(from)) {
                slot.copy_from_slice(values);
            }
        }
    }

    /// Add what the model's classifier says of representations `(batch, dim)`.
    fn answer(&mut self, model: &dyn Model, representations: &Tensor) -> Result<()> {
        let logits = no_grad(|| model.classify(representations, Mode::Eval))?.detach().to_dtype(DType::F32)?;
        self.classes.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
        self.confidences.extend(confidence(&logits)?);
        Ok(())
    }

    /// What the classifier of `model` says of the same representations: of a model with the same encoder.
    ///
    /// # Errors
    /// When the model's representations have another size.
    pub fn answered_by(&self, model: &dyn Model, device: &Device) -> Result<Self> {
        let mut out =
            Self { representations: self.representations.clone(), dim: self.dim, batch: self.batch, ..Self::default() };
        for representations in self.in_batches(device) {
            out.answer(model, &representations?)?;
        }
        Ok(out)
    }

    /// Logits `(rows, classes)`, row by row, of the same representations.
    ///
    /// # Errors
    /// When the model's representations have another size.
    pub fn logits_by(&self, model: &dyn Model, device: &Device) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.classes.len() * model.classes());
        for representations in self.in_batches(device) {
            let representations = representations?;
            let logits = no_grad(|| model.classify(&representations, Mode::Eval))?.detach().to_dtype(DType::F32)?;
            out.extend(logits.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(out)
    }

    /// Replace the answers of the chosen rows by another model's, which has representations of the same size.
    pub fn take(&mut self, other: &Self, chosen: impl Fn(usize) -> bool) {
        let dim = self.dim.max(1);
        let own = self.classes.iter_mut().zip(&mut self.confidences).zip(self.representations.chunks_mut(dim));
        let others = other.classes.iter().zip(&other.confidences).zip(other.representations.chunks(dim));
        for (row, (((class, confidence), values), ((new_class, new_confidence), new_values))) in
            own.zip(others).enumerate()
        {
            if chosen(row) && values.len() == new_values.len() {
                (*class, *confidence) = (*new_class, *new_confidence);
                values.copy_from_slice(new_values);
            }
        }
    }

    /// The representations in the batches in which they were encoded, so that sums over them round alike.
    fn in_batches(&self, device: &Device) -> impl Iterator<Item = candle_core::Result<Tensor>> {
        let dim = self.dim.max(1);
        let batches = self.representations.chunks(self.batch.max(1) * dim);
        batches.map(move |values| Tensor::from_slice(values, (values.len() / dim, dim), device))
    }
}

/// Probabilities `(batch, classes)` that a model gives a batch in evaluation mode, row by row.
///
/// # Errors
/// When the model does not take the inputs.
pub fn probabilities(model: &dyn Model, inputs: Inputs, device: &Device) -> Result<Vec<f32>> {
    let logits = no_grad(|| -> Result<Tensor> {
        let representations = model.encode(&to_model(inputs, device)?, Mode::Eval)?;
        Ok(model.classify(&representations, Mode::Eval)?.to_dtype(DType::F32)?)
    })?;
    let probabilities = logits.broadcast_sub(&logits.log_sum_exp(D::Minus1)?.unsqueeze(D::Minus1)?)?.exp()?;
    Ok(probabilities.flatten_all()?.to_vec1::<f32>()?)
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
