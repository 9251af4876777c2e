//! Group DRO (Sagawa et al. 2020, "Distributionally robust neural networks for group shifts", algorithm 1): the loss of
//! the groups that do badly counts for more. Groups are sampled uniformly, as in the paper's experiments.
//!
//! Methods that infer environments train on them with the same objective.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cnc_core::Groups;
use cnc_core::losses::cross_entropy_per_sample;
use cnc_core::methods::{GroupDro, GroupDroOptions};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use serde::{Deserialize, Serialize};

use super::{GroupLabels, Method, MethodInfo, logits};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, positive, within};
use crate::error::UsageError;
use crate::training::groups::training_groups;
use crate::training::{Batches, Objective, Order, StagePlan, Tensors, TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "group-dro",
    title: "Group DRO",
    source: "Distributionally robust neural networks, Sagawa et al., ICLR 2020",
    stages: &["group-dro"],
    groups: GroupLabels::Training,
    settings: "",
    build: |settings| {
        let settings: GroupDroSettings = checked("group-dro", settings)?;
        settings.check("")?;
        Ok(Box::new(settings))
    },
};

/// Settings of Group DRO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupDroSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Step size η of the group weights.
    pub step_size: f64,
    /// C of the adjustment `C / √n_g` that is added to the loss of a group of `n_g` samples; 0 does not adjust.
    pub adjustment: f64,
}

impl GroupDroSettings {
    /// Refuse values that cannot train; `prefix` is where the settings stand, for the message.
    pub(super) fn check(&self, prefix: &str) -> Result<(), UsageError> {
        self.training.check(prefix)?;
        positive(&format!("{prefix}step_size"), self.step_size)?;
        within(&format!("{prefix}adjustment"), self.adjustment, 0.0, f64::MAX)
    }
}

impl Method for GroupDroSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let groups = training_groups(trainer)?;
        let count = trainer.dataset.train.training_groups().len();
        Ok(vec![on_groups(trainer, self, ("group-dro", "Group DRO"), groups, count)?])
    }
}

/// A stage of Group DRO with its name in files and for people, on `count` groups given by row.
pub(super) fn on_groups(
    trainer: &Trainer,
    settings: &GroupDroSettings,
    (name, title): (&'static str, &'static str),
    groups: Vec<u32>,
    count: usize,
) -> Result<TrainedStage> {
    let options = GroupDroOptions { step_size: settings.step_size, adjustment: settings.adjustment };
    let order = Order::balanced(&groups)?;
    let mut objective = OnGroups {
        batches: trainer.batches(order, &settings.training, name),
        dro: GroupDro::new(&Groups::of_rows(&groups, count)?.sizes(), options)?,
        groups,
        device: trainer.device.clone(),
    };
    trainer.stage(&StagePlan::new(&settings.training, name, title, trainer.dataset.train.len()), &mut objective)
}

struct OnGroups {
    batches: Batches,
    groups: Vec<u32>,
    dro: GroupDro,
    device: Device,
}

/// Name of the group weights in a checkpoint.
const WEIGHTS: &str = "group_weights";

impl Objective for OnGroups {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let groups: Option<Vec<u32>> =
            batch.indices.iter().map(|row| self.groups.get(*row as usize).copied()).collect();
        let groups = groups.context("a batch has a row without a group")?;
        let labels = batch.labels.to_device(&self.device)?;
        let logits = logits(model, batch.inputs, Mode::Train { seed }, &self.device)?;
        Ok(self.dro.loss(&cross_entropy_per_sample(&logits, &labels)?, &groups)?)
    }

    fn state(&self) -> Result<Tensors> {
        let weights = self.dro.weights();
        Ok(Tensors::from([(WEIGHTS.to_owned(), Tensor::from_slice(weights, weights.len(), &Device::Cpu)?)]))
    }

    fn load_state(&mut self, state: &Tensors) -> Result<()> {
        let weights = state.get(WEIGHTS).context("the checkpoint has no group weights")?;
        Ok(self.dro.set_weights(&weights.to_vec1::<f64>()?)?)
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
    fn five_steps_are_those_of_the_published_update() {
        let fixture = Fixture::load();
        let groups = fixture.numbers("groups");
        let sizes = Groups::of_rows(&groups, 4).unwrap().sizes();
        let mut objective = OnGroups {
            batches: Batches::new(images(), Order::all(9), 4, Seeds::new(0)),
            dro: GroupDro::new(&sizes, GroupDroOptions { step_size: 0.5, adjustment: 0.0 }).unwrap(),
            groups,
            device: Device::Cpu,
        };
        let model = fixture.network("first", 1.0);
        fixture.train(&*model, &mut objective, &rule(OptimizerName::Sgd, 0.1, 0.01));
        fixture.check("group_dro", "first", &*model);
    }
}
