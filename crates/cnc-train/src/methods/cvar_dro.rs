//! CVaR DRO (Levy et al. 2020, "Large-scale methods for distributionally robust optimization"): the mean of the worst
//! share of the losses of each batch.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_core::{cross_entropy_per_sample, cvar};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::batches::{Batches, Order};
use super::{GroupLabels, Method, MethodInfo, logits};
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::settings::{TrainingSettings, within};
use crate::trainer::Objective;

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "cvar-dro",
    title: "CVaR DRO",
    source: "Large-scale methods for DRO, Levy et al., NeurIPS 2020",
    stages: &["cvar-dro"],
    groups: GroupLabels::None,
    build: |settings| {
        let settings: CvarSettings = checked("cvar-dro", settings)?;
        settings.training.check("")?;
        within("alpha", settings.alpha, 1e-6, 1.0)?;
        Ok(Box::new(settings))
    },
};

/// Settings of CVaR DRO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvarSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Share α of a batch whose losses count: the largest.
    pub alpha: f64,
}

impl Method for CvarSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let samples = run.dataset.train.len();
        let seeds = run.seeds.purpose("cvar-dro");
        let mut objective = WorstShare {
            batches: Batches {
                split: Arc::clone(&run.dataset.train),
                order: Order::all(samples),
                size: self.training.batch_size,
                seeds,
            },
            alpha: self.alpha,
            device: run.device.clone(),
        };
        Ok(vec![run.stage(&self.training.plan("cvar-dro", "CVaR DRO", samples), &mut objective, None)?])
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
