//! Environment inference for invariant learning (Creager et al. 2021): find the split of the training samples in two on
//! which a plain model is most unlike, then train Group DRO on class and environment, as the comparison of Zhang et al.
//! 2022 does.

use anyhow::Result;
use cnc_core::{EiilOptions, eiil, environment_groups};
use serde::{Deserialize, Serialize};

use super::erm::first_stage;
use super::errors::{answers_on_training, training_errors, wrong_rows};
use super::group_dro::{GroupDroSettings, on_groups};
use super::{GroupLabels, Method, MethodInfo};
use crate::recipe::checked;
use crate::run::{Run, TrainedStage};
use crate::say::note;
use crate::settings::{TrainingSettings, at_least_one, positive};

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "eiil",
    title: "EIIL",
    source: "Environment inference for invariant learning, Creager et al., ICML 2021",
    stages: &["erm", "eiil"],
    groups: GroupLabels::None,
    build: |settings| {
        let settings: EiilSettings = checked("eiil", settings)?;
        settings.stage1.check("stage1.")?;
        settings.dro.check("")?;
        positive("environment_learning_rate", settings.environment_learning_rate)?;
        at_least_one("environment_steps", settings.environment_steps)?;
        Ok(Box::new(settings))
    },
};

/// Settings of EIIL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EiilSettings {
    /// The reference model.
    pub stage1: TrainingSettings,
    /// Learning rate of the soft environments.
    pub environment_learning_rate: f64,
    /// Steps of their optimiser.
    pub environment_steps: u64,
    /// Group DRO on class and environment.
    #[serde(flatten)]
    pub dro: GroupDroSettings,
}

impl Method for EiilSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let mut reference = first_stage(run, &self.stage1)?;
        let answers = answers_on_training(run, &reference)?;
        reference.result.training_errors = Some(training_errors(run, &answers.classes));
        let (labels, classes) = (run.dataset.train.labels(), run.dataset.classes.len());
        let logits = answers.logits_by(&*run.last_model(&reference)?, &run.device)?;
        let options = EiilOptions { learning_rate: self.environment_learning_rate, steps: self.environment_steps };
        let environments =
            eiil(&logits, classes, labels, &options, &mut run.seeds.purpose("environments").generator())?;
        let groups = environment_groups(labels, &environments)?;
        let inside = environments.iter().filter(|environment| **environment).count();
        let wrong = wrong_rows(run, &answers.classes);
        let wrong_inside = wrong.iter().filter(|row| environments.get(**row as usize) == Some(&true)).count();
        let note = format!(
            "{inside} of {} training samples are in the second environment, with {wrong_inside} of the {} that the \
             reference model gets wrong",
            labels.len(),
            wrong.len()
        );
        note!("note: {note}");
        reference.result.notes.push(note);
        let trained = on_groups(run, &self.dro, ("eiil", "EIIL"), groups, 2 * classes, Some(&reference))?;
        Ok(vec![reference, trained])
    }
}
