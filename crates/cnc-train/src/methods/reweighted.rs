//! Simple data balancing (Idrissi et al. 2022, "Simple data balancing achieves competitive worst-group-accuracy"):
//! cross-entropy on batches that hold every group, or every class, as often.
//!
//! RWG and RWY draw a group or a class uniformly and then one of its samples: reweighting by resampling, as the authors'
//! code does it. SUBG and SUBY cut every group, or every class, to the size of the smallest.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::erm::plain;
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::TrainingSettings;
use crate::error::UsageError;
use crate::training::groups::training_groups;
use crate::training::{Order, StagePlan, TrainedStage, Trainer};

const SOURCE: &str = "Simple data balancing, Idrissi et al., CLeaR 2022";

/// The registry's entry of RWG.
pub(crate) const RWG: MethodInfo = MethodInfo {
    name: "rwg",
    title: "RWG",
    source: SOURCE,
    stages: &["rwg"],
    groups: GroupLabels::Training,
    settings: "",
    build: |settings| Ok(Box::new(Rwg(read("rwg", settings)?))),
};

/// The registry's entry of RWY.
pub(crate) const RWY: MethodInfo = MethodInfo {
    name: "rwy",
    title: "RWY",
    source: SOURCE,
    stages: &["rwy"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| Ok(Box::new(Rwy(read("rwy", settings)?))),
};

/// The registry's entry of SUBG.
pub(crate) const SUBG: MethodInfo = MethodInfo {
    name: "subg",
    title: "SUBG",
    source: SOURCE,
    stages: &["subg"],
    groups: GroupLabels::Training,
    settings: "",
    build: |settings| {
        let settings: SubsetSettings = checked("subg", settings)?;
        settings.training.check("")?;
        Ok(Box::new(Subg(settings)))
    },
};

/// The registry's entry of SUBY.
pub(crate) const SUBY: MethodInfo = MethodInfo {
    name: "suby",
    title: "SUBY",
    source: SOURCE,
    stages: &["suby"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: SubsetSettings = checked("suby", settings)?;
        settings.training.check("")?;
        Ok(Box::new(Suby(settings)))
    },
};

/// Group reweighting.
struct Rwg(TrainingSettings);

/// Class reweighting.
struct Rwy(TrainingSettings);

/// Group subsampling.
struct Subg(SubsetSettings);

/// Class subsampling.
struct Suby(SubsetSettings);

/// Settings of subsampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubsetSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Draw another subset for every pass over it, instead of one for the whole run as the authors do: a large group
    /// then shows all of its samples in time.
    pub fresh_subsets: bool,
}

fn read(method: &str, settings: &Table) -> Result<TrainingSettings, UsageError> {
    let settings: TrainingSettings = checked(method, settings)?;
    settings.check("")?;
    Ok(settings)
}

impl Method for Rwg {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let order = Order::balanced(&training_groups(trainer)?)?;
        balanced(trainer, &self.0, "rwg", "RWG", order)
    }
}

impl Method for Rwy {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let order = Order::balanced(trainer.dataset.train.labels())?;
        balanced(trainer, &self.0, "rwy", "RWY", order)
    }
}

impl Method for Subg {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let order = Order::subsets(&training_groups(trainer)?, self.0.fresh_subsets, trainer.seeds.purpose("subg"))?;
        balanced(trainer, &self.0.training, "subg", "SUBG", order)
    }
}

impl Method for Suby {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let labels = trainer.dataset.train.labels();
        let order = Order::subsets(labels, self.0.fresh_subsets, trainer.seeds.purpose("suby"))?;
        balanced(trainer, &self.0.training, "suby", "SUBY", order)
    }
}

/// Train one plain stage in this order.
fn balanced(
    trainer: &Trainer,
    training: &TrainingSettings,
    name: &'static str,
    title: &'static str,
    order: Order,
) -> Result<Vec<TrainedStage>> {
    let batches = trainer.batches(order, training, name);
    // A subset has epochs of its own, as in the authors' code (train.py:81, datasets.py:340).
    let rows = batches.rows_per_pass().unwrap_or(trainer.dataset.train.len());
    let plan = StagePlan::new(training, name, title, rows);
    Ok(vec![trainer.stage(&plan, &mut plain(trainer, batches))?])
}
