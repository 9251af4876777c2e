//! CVaR DRO (Levy et al. 2020, "Large-scale methods for distributionally robust optimization"): the mean of the worst
//! share of the losses of each batch.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_core::losses::cross_entropy_per_sample;
use cnc_core::methods::cvar;
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::{GroupLabels, Method, MethodInfo, logits};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, within};
use crate::training::{Batches, Objective, Order, StagePlan, TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "cvar-dro",
    title: "CVaR DRO",
    source: "Large-scale methods for DRO, Levy et al., NeurIPS 2020",
    stages: &["cvar-dro"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: CvarSettings = checked("cvar-dro", settings)?;
        settings.training.check("")?;
        within("alpha", settings.alpha, 1e-6, 1.0)?;
        Ok(Box::new(settings))
    },
};

/// Settings of CVaR DRO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CvarSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Share α of a batch whose losses count: the largest.
    pub alpha: f64,
}

impl Method for CvarSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let samples = trainer.dataset.train.len();
        let mut objective = WorstShare {
            batches: trainer.batches(Order::all(samples), &self.training, "cvar-dro"),
            alpha: self.alpha,
            device: trainer.device.clone(),
        };
        Ok(vec![trainer.stage(&StagePlan::new(&self.training, "cvar-dro", "CVaR DRO", samples), &mut objective)?])
    }
}

struct WorstShare {
    batches: Batches,
    alpha: f64,
    device: Device,
}

impl Objective for WorstShare {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let labels = batch.labels.to_device(&self.device)?;
        let logits = logits(model, batch.inputs, Mode::Train { seed }, &self.device)?;
        Ok(cvar(&cross_entropy_per_sample(&logits, &labels)?, self.alpha)?)
    }
}
