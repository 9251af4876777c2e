//! Deep feature reweighting (Kirichenko et al. 2023, "Last layer re-training is sufficient for robustness to spurious
//! correlations"): the last layer of a plain model is fitted again, to group-balanced subsets of the validation split.

use std::time::Instant;

use anyhow::Result;
use cnc_core::fits::{Labelled, LogisticOptions, Penalty};
use cnc_core::methods::{Balanced, DfrOptions, TunedC};
use cnc_data::Split;
use serde::{Deserialize, Serialize};

use super::erm::first_stage;
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one, positive};
use crate::error::UsageError;
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
        if settings.c.is_empty() {
            return Err(UsageError("setting `c` is [], expected numbers above 0, for example [1.0, 0.1]".to_owned()));
        }
        settings.c.iter().try_for_each(|c| positive("c", *c))?;
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
    /// How much the losses count against the penalty, scikit-learn's C: the one of these that is best in the worst group of one
    /// half of the validation split when it is fitted to the other.
    pub c: Vec<f64>,
    /// Group-balanced subsets, whose layers are averaged.
    pub draws: u64,
}

impl Method for DfrSettings {
    fn refits(&self) -> bool {
        true
    }

    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        trainer.note(&format!("note: {}", self.fitted_to(&trainer.dataset.validation)));
        let plain = first_stage(trainer, &self.stage1)?;
        let start = Instant::now();
        let model = trainer.last_model(&plain)?;
        let encoder = trainer.last_model(&plain)?;
        let cache = FeatureCache::new(trainer, &*encoder);
        let validation = &trainer.dataset.validation;
        let samples = Labelled {
            features: features(cache.validation()?)?,
            labels: validation.labels(),
            classes: trainer.dataset.classes.len(),
        };
        let samples = Balanced { samples, keys: &groups_of_rows(validation)? };
        let mut halves = trainer.seeds.purpose("dfr").purpose("halves").generator();
        let tuned = DfrOptions::tune(self.penalty, &self.c, &samples, &mut halves)?;
        let regression = LogisticOptions { penalty: self.penalty, c: tuned.c };
        let options = DfrOptions { regression, draws: self.draws as usize };
        let head = options.fit(&samples, &mut trainer.seeds.purpose("dfr").generator())?;
        set_head(&*model, &head)?;
        let notes = vec![fitted_on_validation(), self.fitted_to(validation), self.tuned(tuned)];
        let fit = Fit { name: "dfr", title: "DFR", step: 0, value: tuned.worst_group, start, notes };
        let refitted = trainer.fitted(fit, model, cache.encoded()?)?;
        Ok(vec![plain, refitted])
    }
}

impl DfrSettings {
    /// How C was chosen, and what the validation figure of the run is then.
    fn tuned(&self, tuned: TunedC) -> String {
        let TunedC { c, worst_group } = tuned;
        match worst_group {
            None => format!("C is {c}, the first of {:?}: there is one sample a group, none to tune it on", self.c),
            Some(worst) => format!(
                "C is {c} of {:?}: worst group {:.1} on the half of the validation split that the fit had not seen, which is what \
                 a grid chooses by",
                self.c,
                100.0 * worst
            ),
        }
    }

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
