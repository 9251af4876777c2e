//! Just Train Twice (Liu et al. 2021): train a plain model for a few epochs, then a second one, from its own initial
//! weights, on a training set in which the first one's errors stand several times.

use std::sync::Arc;

use anyhow::{Result, bail};
use cnc_core::upsampled;
use serde::{Deserialize, Serialize};

use super::batches::{Batches, Order};
use super::erm::{first_stage, plain};
use super::errors::{answers_on_training, training_errors, wrong_rows};
use super::{GroupLabels, Method, MethodInfo};
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::say::note;
use crate::settings::{TrainingSettings, at_least_one};

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "jtt",
    title: "JTT",
    source: "Just train twice, Liu et al., ICML 2021",
    stages: &["erm", "jtt"],
    groups: GroupLabels::None,
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
pub struct JttSettings {
    /// The plain model of the first stage.
    pub stage1: TrainingSettings,
    /// How the second stage trains. An epoch is a pass over the training split as it is; a pass over the up-weighted one
    /// is longer.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// How often an error of the first stage stands in the second one's training set: the paper's λ_up.
    pub upweight: u64,
}

impl Method for JttSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let mut identified = first_stage(run, &self.stage1)?;
        let predictions = answers_on_training(run, &identified)?;
        identified.result.training_errors = Some(training_errors(run, &predictions.classes));
        let errors = wrong_rows(run, &predictions.classes);
        let samples = run.dataset.train.len();
        if errors.is_empty() {
            let note = format!(
                "the error set is empty (0 of {samples}): the second stage trains as ERM does; fewer epochs or more weight \
                 decay in `stage1` leave errors to up-weight"
            );
            note!("warning: {note}");
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
        let batches = Batches {
            split: Arc::clone(&run.dataset.train),
            order,
            size: self.training.batch_size,
            seeds: run.seeds.purpose("jtt"),
        };
        let plan = self.training.plan("jtt", "JTT", samples);
        let trained = run.stage(&plan, &mut plain(run, batches), Some(&identified))?;
        Ok(vec![identified, trained])
    }
}
