//! Learning from failure (Nam et al. 2020): two models at once. The biased one learns what is easy, by generalised
//! cross-entropy; samples that it finds harder than the other model does count for more in the other one's loss.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use cnc_core::{LossAverages, cross_entropy_per_sample, generalised_cross_entropy};
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
        let classes = run.dataset.classes.len();
        let seeds = run.seeds.purpose("lff");
        let averages = || LossAverages::new(samples, classes, self.loss_averaging);
        let mut objective = TwoModels {
            batches: Batches { order: Order::all(samples), size: self.training.batch_size, seeds },
            biased: run.fresh_model("lff-biased")?,
            biased_losses: averages()?,
            debiased_losses: averages()?,
            amplification: self.amplification,
            device: run.device.clone(),
        };
        Ok(vec![run.stage(&self.training.plan("lff", "LfF", samples), &mut objective, None)?])
    }
}
