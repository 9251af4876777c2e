//! Empirical risk minimisation: cross-entropy over shuffled batches. The first stage of many other methods as well.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_core::cross_entropy;
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::batches::{Batches, Order};
use super::{GroupLabels, Method, MethodInfo, logits};
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::settings::TrainingSettings;
use crate::trainer::Objective;

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "erm",
    title: "ERM",
    source: "empirical risk minimisation",
    stages: &["erm"],
    groups: GroupLabels::None,
    build: |settings| {
        let settings: ErmSettings = checked("erm", settings)?;
        settings.training.check("")?;
        Ok(Box::new(settings))
    },
};

/// Settings of ERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErmSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
}

impl Method for ErmSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        Ok(vec![first_stage(run, &self.training)?])
    }
}

/// Train the stage `erm`: the plain model that other methods start from.
pub(super) fn first_stage(run: &Run, training: &TrainingSettings) -> Result<TrainedStage> {
    first_stage_on(run, training, Order::all(run.dataset.train.len()), run.dataset.train.len())
}

/// Train the stage `erm` on `samples` rows in this order.
pub(super) fn first_stage_on(
    run: &Run,
    training: &TrainingSettings,
    order: Order,
    samples: usize,
) -> Result<TrainedStage> {
    let batches = Batches { order, size: training.batch_size, seeds: run.seeds.purpose("erm") };
    run.stage(&training.plan("erm", "ERM", samples), &mut plain(run, batches), None)
}

/// Plain cross-entropy on these batches.
pub(super) fn plain(run: &Run, batches: Batches) -> impl Objective {
    Erm { batches, device: run.device.clone() }
}

struct Erm {
    batches: Batches,
    device: Device,
}

impl Objective for Erm {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let labels = batch.labels.to_device(&self.device)?;
        let logits = logits(model, batch.inputs, Mode::Train { seed }, &self.device)?;
        Ok(cross_entropy(&logits, &labels)?)
    }
}
