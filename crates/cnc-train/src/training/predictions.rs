//! A model's answers on a split.

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use cnc_models::{Mode, Model};
use cnc_nn::no_grad;

/// A model's answers on a split, in row order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Predictions {
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

impl Predictions {
    /// Put the answers on some rows into their places.
    pub(crate) fn put(&mut self, places: &[usize], answers: &Self) {
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
    pub(crate) fn answer(&mut self, model: &dyn Model, representations: &Tensor) -> Result<()> {
        let logits = no_grad(|| model.classify(representations, Mode::Eval))?.detach().to_dtype(DType::F32)?;
        self.classes.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
        self.confidences.extend(confidence(&logits)?);
        Ok(())
    }

    /// What the classifier of `model` says of the same representations: of a model with the same encoder.
    ///
    /// # Errors
    /// When the model's representations have another size.
    pub(crate) fn answered_by(&self, model: &dyn Model, device: &Device) -> Result<Self> {
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
    pub(crate) fn logits_by(&self, model: &dyn Model, device: &Device) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.classes.len() * model.classes());
        for representations in self.in_batches(device) {
            let representations = representations?;
            let logits = no_grad(|| model.classify(&representations, Mode::Eval))?.detach().to_dtype(DType::F32)?;
            out.extend(logits.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(out)
    }

    /// Replace the answers of the chosen rows by another model's, which has representations of the same size.
    pub(crate) fn take(&mut self, other: &Self, chosen: impl Fn(usize) -> bool) {
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

/// Probability of the most likely class: `(batch, classes)` logits to `batch` values.
fn confidence(logits: &Tensor) -> candle_core::Result<Vec<f32>> {
    let largest = logits.max(D::Minus1)?;
    (largest - logits.log_sum_exp(D::Minus1)?)?.exp()?.to_vec1::<f32>()
}
