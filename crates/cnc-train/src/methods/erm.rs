//! Empirical risk minimisation: cross-entropy over shuffled batches. The first stage of Correct-N-Contrast as well.

use anyhow::Result;
use candle_core::Tensor;
use cnc_core::{cross_entropy, shuffled};
use cnc_data::{Augment, Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::{Method, MethodInfo};
use crate::error::UsageError;
use crate::inputs::to_model;
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::seeds::Seeds;
use crate::settings::{OptimizerSettings, at_least_one};
use crate::trainer::{Objective, StagePlan};

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "erm",
    title: "ERM",
    source: "empirical risk minimisation",
    stages: &["erm"],
    training_groups: false,
    build: |settings| Ok(Box::new(ErmSettings::read("erm", settings)?)),
};

/// Settings of ERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErmSettings {
    /// Samples a step.
    pub batch_size: u64,
    /// Passes over the training split.
    pub epochs: u64,
    /// How parameters are updated.
    pub optimizer: OptimizerSettings,
}

impl ErmSettings {
    fn read(method: &str, settings: &Table) -> Result<Self, UsageError> {
        let settings: Self = checked(method, settings)?;
        settings.check("")?;
        Ok(settings)
    }

    /// Refuse values that cannot train; `prefix` is where the settings stand.
    pub(super) fn check(&self, prefix: &str) -> Result<(), UsageError> {
        at_least_one(&format!("{prefix}batch_size"), self.batch_size)?;
        at_least_one(&format!("{prefix}epochs"), self.epochs)?;
        self.optimizer.check(&format!("{prefix}optimizer."))
    }

    /// Train the stage `erm`.
    pub(super) fn train(&self, run: &Run) -> Result<TrainedStage> {
        let samples = run.dataset.train.len() as u64;
        let steps_per_epoch = samples.div_ceil(self.batch_size);
        let plan = StagePlan {
            name: "erm",
            title: "ERM",
            steps: self.epochs * steps_per_epoch,
            steps_per_epoch: steps_per_epoch as f64,
            evaluate_every: steps_per_epoch,
            optimizer: &self.optimizer,
            averaging: 0.0,
            zero_classifier_every: 1,
        };
        let mut objective =
            Erm { samples, batch_size: self.batch_size, seeds: run.seeds.purpose("erm"), device: run.device.clone() };
        run.stage(&plan, &mut objective, None)
    }
}

impl Method for ErmSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        Ok(vec![self.train(run)?])
    }
}

struct Erm {
    samples: u64,
    batch_size: u64,
    seeds: Seeds,
    device: candle_core::Device,
}

impl Objective for Erm {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        let (samples, size) = (self.samples, self.batch_size);
        let steps_per_epoch = samples.div_ceil(size);
        let (order_seeds, crop_seeds) = (self.seeds.purpose("order"), self.seeds.purpose("crop"));
        let mut current: Option<(u64, Vec<u32>)> = None;
        Box::new(move |step| {
            let epoch = step / steps_per_epoch;
            let order = match current.take() {
                Some((of, order)) if of == epoch => order,
                _ => shuffled(samples as u32, &mut order_seeds.at(epoch).generator()),
            };
            let start = (step % steps_per_epoch * size) as usize;
            let rows = order.iter().skip(start).take(size as usize).copied().collect();
            current = Some((epoch, order));
            vec![Draw { rows, augment: Augment::Random { seed: crop_seeds.at(step).value() }, tag: () }]
        })
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let mode = Mode::Train { seed };
        let representation = model.encode(&to_model(batch.inputs, &self.device)?, mode)?;
        let logits = model.classify(&representation, mode)?;
        Ok(cross_entropy(&logits, &batch.labels.to_device(&self.device)?)?)
    }
}
