//! Simple data balancing (Idrissi et al. 2022, "Simple data balancing achieves competitive worst-group-accuracy"):
//! cross-entropy on batches that hold every group, or every class, as often.
//!
//! RWG and RWY draw a group or a class uniformly and then one of its samples: reweighting by resampling, as the authors'
//! code does it. SUBG cuts every group to the size of the smallest.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::batches::{Batches, Order};
use super::erm::plain;
use super::groups::training_groups;
use super::{GroupLabels, Method, MethodInfo};
use crate::error::UsageError;
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::settings::TrainingSettings;

const SOURCE: &str = "Simple data balancing, Idrissi et al., CLeaR 2022";

/// The registry's entry of RWG.
pub const RWG: MethodInfo = MethodInfo {
    name: "rwg",
    title: "RWG",
    source: SOURCE,
    stages: &["rwg"],
    groups: GroupLabels::Training,
    build: |settings| Ok(Box::new(Rwg(read("rwg", settings)?))),
};

/// The registry's entry of RWY.
pub const RWY: MethodInfo = MethodInfo {
    name: "rwy",
    title: "RWY",
    source: SOURCE,
    stages: &["rwy"],
    groups: GroupLabels::None,
    build: |settings| Ok(Box::new(Rwy(read("rwy", settings)?))),
};

/// The registry's entry of SUBG.
pub const SUBG: MethodInfo = MethodInfo {
    name: "subg",
    title: "SUBG",
    source: SOURCE,
    stages: &["subg"],
    groups: GroupLabels::Training,
    build: |settings| {
        let settings: SubgSettings = checked("subg", settings)?;
        settings.training.check("")?;
        Ok(Box::new(settings))
    },
};

/// Group reweighting.
struct Rwg(TrainingSettings);

/// Class reweighting.
struct Rwy(TrainingSettings);

/// Settings of group subsampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubgSettings {
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
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let order = Order::balanced(&training_groups(run)?)?;
        balanced(run, &self.0, "rwg", "RWG", order)
    }
}

impl Method for Rwy {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let order = Order::balanced(run.dataset.train.labels())?;
        balanced(run, &self.0, "rwy", "RWY", order)
    }
}

impl Method for SubgSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let order = Order::subsets(&training_groups(run)?, self.fresh_subsets, run.seeds.purpose("subg"))?;
        balanced(run, &self.training, "subg", "SUBG", order)
    }
}

/// Train one plain stage in this order.
fn balanced(
    run: &Run,
    training: &TrainingSettings,
    name: &'static str,
    title: &'static str,
    order: Order,
) -> Result<Vec<TrainedStage>> {
    let batches = Batches {
        split: Arc::clone(&run.dataset.train),
        order,
        size: training.batch_size,
        seeds: run.seeds.purpose(name),
    };
    let plan = training.plan(name, title, run.dataset.train.len());
    Ok(vec![run.stage(&plan, &mut plain(run, batches), None)?])
}
