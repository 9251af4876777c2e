//! Just Train Twice (Liu et al. 2021): train a plain model for a few epochs, then a second one, from its own initial
//! weights, on a training set in which the first one's errors stand several times.
//!
//! An error is, as in the authors' code (train.py:60-110), what the model got wrong in training mode when it last saw the sample,
//! before the update that followed: so T epochs of theirs, counted from 0, are T + 1 here.

use anyhow::{Result, bail};
use cnc_core::methods::upsampled;
use serde::{Deserialize, Serialize};

use super::erm::{first_stage, first_stage_online, plain};
use super::errors::{answers_on_training, training_errors, wrong_rows};
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one};
use crate::training::{Order, StagePlan, TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "jtt",
    title: "JTT",
    source: "Just train twice, Liu et al., ICML 2021",
    stages: &["erm", "jtt"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: JttSettings = checked("jtt", settings)?;
        settings.stage1.check("stage1.")?;
        settings.training.check("")?;
        at_least_one("upweight", settings.upweight)?;
        Ok(Box::new(settings))
    },
};

/// Settings of JTT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JttSettings {
    /// The plain model of the first stage.
    pub stage1: TrainingSettings,
    /// How the second stage trains. An epoch is a pass over the training split as it is; a pass over the up-weighted one
    /// is longer.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// How often an error of the first stage is added to the second one's training set: the paper's λ_up.
    pub upweight: u64,
    /// When the first stage's answers are taken.
    pub errors: ErrorRule,
}

/// When the answers of a first stage are taken that say what it gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ErrorRule {
    /// In training mode, as each sample is seen for the last time.
    Online,
    /// In evaluation mode, after the last step.
    Last,
}

impl Method for JttSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let (mut identified, predictions) = match self.errors {
            ErrorRule::Online => first_stage_online(trainer, &self.stage1)?,
            ErrorRule::Last => {
                let identified = first_stage(trainer, &self.stage1)?;
                let predictions = answers_on_training(trainer, &identified)?.classes;
                (identified, predictions)
            }
        };
        training_errors(trainer, &mut identified.result, &predictions);
        let errors = wrong_rows(trainer, &predictions);
        let samples = trainer.dataset.train.len();
        if errors.is_empty() {
            let note = format!(
                "the error set is empty (0 of {samples}): the second stage trains as ERM does; fewer epochs or more weight \
                 decay in `stage1` leave errors to up-weight"
            );
            trainer.note(&format!("warning: {note}"));
            identified.result.notes.push(note);
        }
        if (errors.len() as u64).saturating_mul(self.upweight) > u64::from(u32::MAX / 2) {
            bail!(
                "setting `upweight` is {}, which makes {} errors more rows than can be drawn from; expected a smaller number",
                self.upweight,
                errors.len()
            );
        }
        let rows = upsampled(samples as u32, &errors, self.upweight)?;
        let order = Order::Epochs(rows.into());
        let batches = trainer.batches(order, &self.training, "jtt");
        let plan = StagePlan::new(&self.training, "jtt", "JTT", samples);
        let trained = trainer.stage(&plan, &mut plain(trainer, batches))?;
        Ok(vec![identified, trained])
    }
}
