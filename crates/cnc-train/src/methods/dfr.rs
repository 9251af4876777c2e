//! Deep feature reweighting (Kirichenko et al. 2023, "Last layer re-training is sufficient for robustness to spurious
//! correlations"): the last layer of a plain model is fitted again, to group-balanced subsets of the validation split.

use std::time::Instant;

use anyhow::Result;
use cnc_core::fits::{Labelled, LogisticOptions, Penalty};
use cnc_core::methods::{Balanced, DfrOptions};
use cnc_data::Split;
use serde::{Deserialize, Serialize};

use super::erm::first_stage;
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one, positive};
use crate::training::features::{FeatureCache, features, set_head};
use crate::training::groups::groups_of_rows;
use crate::training::stage::Fit;
use crate::training::{TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "dfr",
    title: "DFR",
    source: "Last layer re-training, Kirichenko et al., ICLR 2023",
    stages: &["erm", "dfr"],
    groups: GroupLabels::Validation,
    settings: "",
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
pub(crate) struct DfrSettings {
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
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        trainer.note(&format!("note: {}", self.fitted_to(&trainer.dataset.validation)));
        let plain = first_stage(trainer, &self.stage1)?;
        let start = Instant::now();
        let model = trainer.last_model(&plain)?;
        let encoder = trainer.last_model(&plain)?;
        let cache = FeatureCache::new(trainer, &*encoder);
        let validation = &trainer.dataset.validation;
        let options =
            DfrOptions { regression: LogisticOptions { penalty: self.penalty, c: self.c }, draws: self.draws as usize };
        let samples = Labelled {
            features: features(cache.validation()?)?,
            labels: validation.labels(),
            classes: trainer.dataset.classes.len(),
        };
        let samples = Balanced { samples, keys: &groups_of_rows(validation)? };
        let head = options.fit(&samples, &mut trainer.seeds.purpose("dfr").generator())?;
        set_head(&*model, &head)?;
        let notes = vec![fitted_on_validation(), self.fitted_to(validation)];
        let fit = Fit { name: "dfr", title: "DFR", step: 0, start, notes };
        let refitted = trainer.fitted(fit, model, cache.encoded()?)?;
        Ok(vec![plain, refitted])
    }
}

impl DfrSettings {
    /// How many samples each layer is fitted to.
    fn fitted_to(&self, validation: &Split) -> String {
        let groups = validation.training_groups().iter().filter(|group| !group.rows.is_empty());
        let smallest = groups.clone().map(|group| group.rows.len()).min().unwrap_or(0);
        let counts: Vec<String> = groups.map(|group| format!("`{}` {}", group.name, group.rows.len())).collect();
        format!(
            "DFR averages {} last layers, each fitted to {smallest} samples of every validation group, {} of {} in all: {}",
            self.draws,
            smallest * counts.len(),
            validation.len(),
            counts.join(", ")
        )
    }
}

/// What a reader of validation figures has to know.
pub(super) fn fitted_on_validation() -> String {
    "the last layer is fitted to the validation split: its figures there are of what it was fitted to".to_owned()
}
