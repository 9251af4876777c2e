//! Learning from failure (Nam et al. 2020): two models at once. The biased one learns what is easy, by generalised
//! cross-entropy; samples that it finds harder than the other model does count for more in the other one's loss.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use cnc_core::losses::cross_entropy_per_sample;
use cnc_core::methods::{LossAverages, difficulty, generalised_cross_entropy_per_sample};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, within};
use crate::training::beside::Beside;
use crate::training::{Batches, Objective, Order, StagePlan, Tensors, TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "lff",
    title: "LfF",
    source: "Learning from failure, Nam et al., NeurIPS 2020",
    stages: &["lff"],
    groups: GroupLabels::None,
    settings: "",
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
pub(crate) struct LffSettings {
    /// How both models train.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Exponent q of the generalised cross-entropy of the biased model.
    pub amplification: f64,
    /// Decay of the moving averages of each sample's losses.
    pub loss_averaging: f64,
}

impl Method for LffSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let samples = trainer.dataset.train.len();
        let (labels, classes) = (trainer.dataset.train.labels(), trainer.dataset.classes.len());
        let averages = || LossAverages::new(labels, classes, self.loss_averaging);
        let mut objective = TwoModels {
            batches: trainer.batches(Order::all(samples), &self.training, "lff"),
            biased: Beside::new(trainer.fresh_model("lff-biased")?, BIASED),
            biased_losses: averages()?,
            debiased_losses: averages()?,
            amplification: self.amplification,
            device: trainer.device.clone(),
        };
        Ok(vec![trainer.stage(&StagePlan::new(&self.training, "lff", "LfF", samples), &mut objective)?])
    }
}

/// The debiased model is the one that the trainer knows; the biased one is trained beside it.
struct TwoModels {
    batches: Batches,
    biased: Beside,
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

    /// The mean of W·CE of the debiased model plus q times that of the biased model's generalised cross-entropy: no variable is in
    /// both terms. The averages take in this batch's losses before the weights are made (algorithm 1).
    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let mode = Mode::Train { seed };
        let labels = batch.labels.to_device(&self.device)?;
        let inputs = batch.inputs.on_device(&self.device)?;
        let biased = self.biased.model.classify(&self.biased.model.encode(&inputs, mode)?, mode)?;
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
        // The authors' gradient is q times that of the loss in the paper (module/loss.py:19-24).
        Ok(((losses * weights)?.mean_all()? + (amplified.mean_all()? * self.amplification)?)?)
    }

    fn further_parameters(&self) -> Vec<(String, Var)> {
        self.biased.parameters()
    }

    fn state(&self) -> Result<Tensors> {
        let mut state = self.biased.state()?;
        for (name, losses) in [(BIASED_LOSSES, &self.biased_losses), (DEBIASED_LOSSES, &self.debiased_losses)] {
            let averages = losses.state();
            state.insert(name.to_owned(), Tensor::from_slice(averages, averages.len(), &Device::Cpu)?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Tensors) -> Result<()> {
        self.biased.load_state(state)?;
        for (name, losses) in [(BIASED_LOSSES, &mut self.biased_losses), (DEBIASED_LOSSES, &mut self.debiased_losses)] {
            let averages = state.get(name).with_context(|| format!("the checkpoint has no `{name}`"))?;
            losses.set_state(&averages.to_vec1::<f64>()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::OptimizerName;
    use crate::methods::steps::{Fixture, rule};
    use crate::training::batches::images;
    use cnc_base::seeds::Seeds;

    #[test]
    fn five_steps_of_both_models_are_those_of_the_published_update() {
        let fixture = Fixture::load();
        let averages = || LossAverages::new(&fixture.numbers("labels"), 3, 0.7).unwrap();
        let mut objective = TwoModels {
            batches: Batches::new(images(), Order::all(9), 4, Seeds::new(0)),
            biased: Beside::new(fixture.network("second", 1.0), BIASED),
            biased_losses: averages(),
            debiased_losses: averages(),
            amplification: 0.7,
            device: Device::Cpu,
        };
        let model = fixture.network("first", 1.0);
        fixture.train(&*model, &mut objective, &rule(OptimizerName::Adam, 0.01, 0.1));
        fixture.check("lff", "first", &*model);
        fixture.check("lff", "second", &*objective.biased.model);
    }
}
