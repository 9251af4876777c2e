//! Environment inference for invariant learning (Creager et al. 2021): find the split of the training samples in two on
//! which a plain model is most unlike, then train Group DRO on class and environment, as the comparison of Zhang et al.
//! 2022 does.

use anyhow::Result;
use cnc_core::methods::{EiilOptions, ReferenceLogits, environment_groups};
use serde::{Deserialize, Serialize};

use super::erm::first_stage;
use super::errors::{answers_on_training, training_errors, wrong_rows};
use super::group_dro::{GroupDroSettings, on_groups};
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one, positive};
use crate::training::{TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "eiil",
    title: "EIIL",
    source: "Environment inference for invariant learning, Creager et al., ICML 2021",
    stages: &["erm", "eiil"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: EiilSettings = checked("eiil", settings)?;
        settings.stage1.check("stage1.")?;
        settings.dro.check("")?;
        positive("environment_learning_rate", settings.environment_learning_rate)?;
        at_least_one("environment_steps", settings.environment_steps)?;
        positive("environment_epsilon", settings.environment_epsilon)?;
        Ok(Box::new(settings))
    },
};

/// Settings of EIIL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EiilSettings {
    /// The reference model.
    pub stage1: TrainingSettings,
    /// Learning rate of the soft environments.
    pub environment_learning_rate: f64,
    /// Steps of their optimiser.
    pub environment_steps: u64,
    /// ε of that optimiser, Adam.
    pub environment_epsilon: f64,
    /// Group DRO on class and environment.
    #[serde(flatten)]
    pub dro: GroupDroSettings,
}

impl Method for EiilSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let mut reference = first_stage(trainer, &self.stage1)?;
        let answers = answers_on_training(trainer, &reference)?;
        training_errors(trainer, &mut reference.result, &answers.classes);
        let (labels, classes) = (trainer.dataset.train.labels(), trainer.dataset.classes.len());
        let logits = answers.logits_by(&*trainer.last_model(&reference)?, &trainer.device)?;
        let reference_logits = ReferenceLogits { logits: &logits, classes, labels };
        let options = EiilOptions {
            learning_rate: self.environment_learning_rate,
            steps: self.environment_steps,
            epsilon: self.environment_epsilon,
        };
        let environments =
            options.fit(&reference_logits, &mut trainer.seeds.purpose("environments").generator())?.predict();
        let groups = environment_groups(labels, &environments)?;
        let inside = environments.iter().filter(|environment| **environment).count();
        let wrong = wrong_rows(trainer, &answers.classes);
        let wrong_inside = wrong.iter().filter(|row| environments.get(**row as usize) == Some(&true)).count();
        let note = format!(
            "{inside} of {} training samples are in the second environment, with {wrong_inside} of the {} that the \
             reference model gets wrong",
            labels.len(),
            wrong.len()
        );
        trainer.note(&format!("note: {note}"));
        reference.result.notes.push(note);
        let trained = on_groups(trainer, &self.dro, ("eiil", "EIIL"), groups, 2 * classes)?;
        Ok(vec![reference, trained])
    }
}
