//! Deep feature reweighting (Kirichenko et al. 2023, "Last layer re-training is sufficient for robustness to spurious
//! correlations"): the last layer of a plain model is fitted again, to group-balanced subsets of the validation split.

use std::time::Instant;

use anyhow::Result;
use cnc_core::{DfrOptions, LogisticRegression, Penalty, dfr};
use serde::{Deserialize, Serialize};

use super::erm::first_stage;
use super::groups::groups_of_rows;
use super::{GroupLabels, Method, MethodInfo};
use crate::features::{FeatureCache, features, set_head};
use crate::recipe::checked;
use crate::run::{Fit, Run, TrainedStage};
use crate::settings::{TrainingSettings, at_least_one, positive};

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "dfr",
    title: "DFR",
    source: "Last layer re-training, Kirichenko et al., ICLR 2023",
    stages: &["erm", "dfr"],
    groups: GroupLabels::Validation,
    build: |settings| {
        let settings: DfrSettings = checked("dfr", settings)?;
        settings.stage1.check("stage1.")?;
        positive("c", settings.c)?;
        at_least_one("draws", settings.draws)?;
        Ok(Box::new(settings))
    },
};

/// Settings of DFR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DfrSettings {
    /// The plain model whose encoder is kept, as it is after its last step.
    pub stage1: TrainingSettings,
    /// What keeps the weights of the new layer small.
    pub penalty: Penalty,
    /// How much the losses count against the penalty: scikit-learn's C.
    pub c: f64,
    /// Group-balanced subsets, whose layers are averaged.
    pub draws: u64,
}

impl Method for DfrSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let plain = first_stage(run, &self.stage1)?;
        let start = Instant::now();
        let model = run.last_model(&plain)?;
        let encoder = run.last_model(&plain)?;
        let cache = FeatureCache::new(run, &*encoder);
        let validation = &run.dataset.validation;
        let options = DfrOptions {
            regression: LogisticRegression { penalty: self.penalty, c: self.c },
            draws: self.draws as usize,
        };
        let head = dfr(
            &features(cache.validation()?)?,
            validation.labels(),
            run.dataset.classes.len(),
            &groups_of_rows(validation)?,
            &options,
            &mut run.seeds.purpose("dfr").generator(),
        )?;
        set_head(&*model, &head)?;
        let fit = Fit { name: "dfr", title: "DFR", step: 0, start, notes: vec![fitted_on_validation()] };
        let refitted = run.fitted(fit, model, &cache, &plain)?;
        Ok(vec![plain, refitted])
    }
}

/// What a reader of validation figures has to know.
pub(super) fn fitted_on_validation() -> String {
    "the last layer is fitted to the validation split: its figures there are of what it was fitted to".to_owned()
}
