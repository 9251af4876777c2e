//! Learning from failure (Nam et al. 2020): two models at once. The biased one learns what is easy, by generalised
//! cross-entropy; samples that it finds harder than the other model does count for more in the other one's loss.

use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use cnc_core::{LossAverages, cross_entropy_per_sample, difficulty, generalised_cross_entropy_per_sample};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::batches::{Batches, Order};
use super::{GroupLabels, Method, MethodInfo};
use crate::checkpoint::Tensors;
use crate::inputs::to_model;
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::settings::{TrainingSettings, within};
use crate::trainer::Objective;

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "lff",
    title: "LfF",
    source: "Learning from failure, Nam et al., NeurIPS 2020",
    stages: &["lff"],
    groups: GroupLabels::None,
    build: |settings| {
        let settings: LffSettings = checked("lff", settings)?;
        settings.training.check("")?;
        within("amplification", settings.amplification, 1e-6, 1.0)?;
        within("loss_averaging", settings.loss_averaging, 0.0, 0.999_999)?;
        Ok(Box::new(settings))
    },
};

/// Settings of LfF.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LffSettings {
    /// How both models train.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Exponent q of the generalised cross-entropy of the biased model.
    pub amplification: f64,
    /// Decay of the moving averages of each sample's losses.
    pub loss_averaging: f64,
}

impl Method for LffSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let samples = run.dataset.train.len();
        let (labels, classes) = (run.dataset.train.labels(), run.dataset.classes.len());
        let seeds = run.seeds.purpose("lff");
        let averages = || LossAverages::new(labels, classes, self.loss_averaging);
        let mut objective = TwoModels {
            batches: Batches {
                split: Arc::clone(&run.dataset.train),
                order: Order::all(samples),
                size: self.training.batch_size,
                seeds,
            },
            biased: run.fresh_model("lff-biased")?,
            biased_losses: averages()?,
            debiased_losses: averages()?,
            amplification: self.amplification,
            device: run.device.clone(),
        };
        Ok(vec![run.stage(&self.training.plan("lff", "LfF", samples), &mut objective, None)?])
    }
}

/// The debiased model is the one that the trainer knows; the biased one is trained beside it.
struct TwoModels {
    batches: Batches,
    biased: Box<dyn Model>,
    biased_losses: LossAverages,
    debiased_losses: LossAverages,
    amplification: f64,
    device: Device,
}

/// Prefix of the biased model's variables, for the optimiser and in a checkpoint.
const BIASED: &str = "biased.";
/// Names of the averages in a checkpoint.
const BIASED_LOSSES: &str = "losses.biased";
const DEBIASED_LOSSES: &str = "losses.debiased";

impl Objective for TwoModels {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    /// The mean of W·CE of the debiased model plus that of the biased model's generalised cross-entropy: no variable is in
    /// both terms. The averages take in this batch's losses before the weights are made (algorithm 1).
    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let mode = Mode::Train { seed };
        let labels = batch.labels.to_device(&self.device)?;
        let inputs = to_model(batch.inputs, &self.device)?;
        let biased = self.biased.classify(&self.biased.encode(&inputs, mode)?, mode)?;
        let debiased = model.classify(&model.encode(&inputs, mode)?, mode)?;
        let losses = cross_entropy_per_sample(&debiased, &labels)?;
        let values = |losses: &Tensor| losses.detach().to_dtype(DType::F32)?.to_vec1::<f32>();
        self.biased_losses.update(&batch.indices, &values(&cross_entropy_per_sample(&biased, &labels)?)?)?;
        self.debiased_losses.update(&batch.indices, &values(&losses)?)?;
        let weights = difficulty(
            &self.biased_losses.normalised(&batch.indices)?,
            &self.debiased_losses.normalised(&batch.indices)?,
        )?;
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        let weights = Tensor::new(weights, &self.device)?.to_dtype(losses.dtype())?;
        let amplified = generalised_cross_entropy_per_sample(&biased, &labels, self.amplification)?;
        Ok(((losses * weights)?.mean_all()? + amplified.mean_all()?)?)
    }

    fn further_parameters(&self) -> Vec<(String, Var)> {
        let biased = self.biased.trainable();
        biased.into_iter().map(|(name, parameter)| (format!("{BIASED}{name}"), parameter)).collect()
    }

    fn state(&self) -> Result<Tensors> {
        let biased = self.biased.parameters().named()?;
        let mut state: Tensors = biased.into_iter().map(|(name, w)| (format!("{BIASED}{name}"), w)).collect();
        for (name, losses) in [(BIASED_LOSSES, &self.biased_losses), (DEBIASED_LOSSES, &self.debiased_losses)] {
            let averages = losses.state();
            state.insert(name.to_owned(), Tensor::from_slice(averages, averages.len(), &Device::Cpu)?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Tensors) -> Result<()> {
        let biased = state.iter().filter_map(|(name, w)| Some((name.strip_prefix(BIASED)?.to_owned(), w.clone())));
        self.biased.parameters().load(&biased.collect())?;
        for (name, losses) in [(BIASED_LOSSES, &mut self.biased_losses), (DEBIASED_LOSSES, &mut self.debiased_losses)] {
            let averages = state.get(name).with_context(|| format!("the checkpoint has no `{name}`"))?;
            losses.set_state(&averages.to_vec1::<f64>()?)?;
        }
        Ok(())
    }
}
