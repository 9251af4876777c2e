//! Methods on a frozen encoder: every sample is encoded once, and what is fitted is fitted to the representations.

use std::cell::OnceCell;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use cnc_core::Features;
use cnc_core::fits::LinearHead;
use cnc_data::Split;
use cnc_models::Model;

use super::evaluate::{View, predict};
use super::predictions::Predictions;
use super::stage::Encoded;
use super::trainer::Trainer;

/// The representations of a run's splits under one encoder, each split encoded when it is first asked for.
pub(crate) struct FeatureCache<'a> {
    trainer: &'a Trainer,
    encoder: &'a dyn Model,
    validation: OnceCell<Predictions>,
    test: OnceCell<Predictions>,
}

impl<'a> FeatureCache<'a> {
    /// Nothing is encoded yet.
    #[must_use]
    pub(crate) fn new(trainer: &'a Trainer, encoder: &'a dyn Model) -> Self {
        Self { trainer, encoder, validation: OnceCell::new(), test: OnceCell::new() }
    }

    /// The validation split, with what the encoder's own classifier says of it.
    ///
    /// # Errors
    /// When a row cannot be read, or the model does not take it.
    pub(crate) fn validation(&self) -> Result<&Predictions> {
        self.split(&self.validation, &self.trainer.dataset.validation)
    }

    /// The test split, likewise.
    ///
    /// # Errors
    /// As [`validation`](Self::validation).
    pub(crate) fn test(&self) -> Result<&Predictions> {
        self.split(&self.test, &self.trainer.dataset.test)
    }

    /// Both.
    ///
    /// # Errors
    /// As [`validation`](Self::validation).
    pub(crate) fn encoded(&self) -> Result<Encoded<'_>> {
        Ok(Encoded { validation: self.validation()?, test: self.test()? })
    }

    fn split<'c>(&self, cell: &'c OnceCell<Predictions>, split: &std::sync::Arc<Split>) -> Result<&'c Predictions> {
        if cell.get().is_none() {
            let encoded = predict(self.encoder, split, View::Centre, &self.trainer.device)?;
            // Nobody else can have set it: the cell is not shared between threads.
            let _ = cell.set(encoded);
        }
        cell.get().context("a split was not encoded")
    }
}

/// Representations as the fits take them.
///
/// # Errors
/// When there are none, or one is not finite.
pub(crate) fn features(predictions: &Predictions) -> Result<Features<'_>> {
    Ok(Features::new(&predictions.representations, predictions.dim)?)
}

/// The classifier of a model.
///
/// # Errors
/// When the model's classifier is not a linear layer.
pub(crate) fn head_of(model: &dyn Model) -> Result<LinearHead> {
    let named = model.parameters().named()?;
    let values = |part: &str| -> Result<Vec<f32>> {
        let name = format!("{}.{part}", model.classifier());
        let tensor = named.get(&name).with_context(|| format!("the model has no `{name}`"))?;
        Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    Ok(LinearHead { weight: values("weight")?, bias: values("bias")? })
}

/// Put another classifier on a model.
///
/// # Errors
/// When it has other sizes than the model's.
pub(crate) fn set_head(model: &dyn Model, head: &LinearHead) -> Result<()> {
    let mut named = model.parameters().named()?;
    let (classes, dim) = (model.classes(), model.dim());
    let weight = Tensor::from_slice(&head.weight, (classes, dim), &Device::Cpu)?;
    let bias = Tensor::from_slice(&head.bias, classes, &Device::Cpu)?;
    for (part, tensor) in [("weight", weight), ("bias", bias)] {
        named.insert(format!("{}.{part}", model.classifier()), tensor);
    }
    Ok(model.parameters().load(&named)?)
}
