//! Automatic feature reweighting (Qiu et al. 2023, "Simple and fast group robustness by automatic feature reweighting"):
//! a plain model is trained on a part of the training split, then its last layer is fitted again to the rest, where
//! samples count for more the less likely the model finds their class. No group labels.

use std::time::Instant;

use anyhow::Result;
use cnc_core::{Afr, AfrOptions, shuffled};
use serde::{Deserialize, Serialize};

use super::erm::first_stage_on;
use super::{GroupLabels, Method, MethodInfo};
use crate::evaluate::{View, evaluation, predict_rows};
use crate::features::{FeatureCache, features, head_of, set_head};
use crate::recipe::checked;
use crate::run::{Fit, Run, TrainedStage};
use crate::settings::{TrainingSettings, at_least_one, positive, within};

/// The registry's entry.
pub const INFO: MethodInfo = MethodInfo {
    name: "afr",
    title: "AFR",
    source: "Automatic feature reweighting, Qiu et al., ICML 2023",
    stages: &["erm", "afr"],
    groups: GroupLabels::None,
    build: |settings| {
        let settings: AfrSettings = checked("afr", settings)?;
        settings.stage1.check("stage1.")?;
        within("held_out", settings.held_out, 0.001, 0.999)?;
        within("gamma", settings.gamma, 0.0, f64::MAX)?;
        within("pull", settings.pull, 0.0, f64::MAX)?;
        positive("learning_rate", settings.learning_rate)?;
        at_least_one("steps", settings.steps)?;
        at_least_one("evaluate_every", settings.evaluate_every)?;
        Ok(Box::new(settings))
    },
};

/// Settings of AFR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfrSettings {
    /// The plain model whose encoder is kept, as it is after its last step; it sees all but the held-out samples.
    pub stage1: TrainingSettings,
    /// Share of the training split that the last layer is fitted to.
    pub held_out: f64,
    /// γ of the weights `exp(-γ p)`, where p is the likelihood of a sample's class under the plain model.
    pub gamma: f64,
    /// λ of the pull towards the plain model's last layer.
    pub pull: f64,
    /// Rate of the gradient descent over all held-out samples.
    pub learning_rate: f64,
    /// Its steps.
    pub steps: u64,
    /// Steps between two evaluations, of which the best is kept.
    pub evaluate_every: u64,
}

impl Method for AfrSettings {
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>> {
        let train = &run.dataset.train;
        let mut kept = shuffled(train.len() as u32, &mut run.seeds.purpose("afr").generator());
        let held_out = ((train.len() as f64 * self.held_out).round() as usize).clamp(1, train.len().max(2) - 1);
        let held_out: Vec<u32> = kept.drain(..held_out).collect();
        let plain = first_stage_on(run, &self.stage1, ("erm", "ERM"), kept, None)?;

        let start = Instant::now();
        let model = run.last_model(&plain)?;
        let encoder = run.last_model(&plain)?;
        let cache = FeatureCache::new(run, &*encoder);
        let labels: Vec<u32> = held_out.iter().filter_map(|row| train.labels().get(*row as usize)).copied().collect();
        let held_out = predict_rows(&*encoder, train, &held_out, View::Centre, &run.device)?;
        let options = AfrOptions { gamma: self.gamma, pull: self.pull, learning_rate: self.learning_rate };
        let mut afr = Afr::new(&features(&held_out)?, &labels, &head_of(&*encoder)?, options)?;

        let validation = features(cache.validation()?)?;
        let mut best = None;
        let mut step = 0;
        while step < self.steps {
            let steps = self.evaluate_every.min(self.steps - step);
            afr.descend(steps);
            step += steps;
            let head = afr.head();
            let evaluation = evaluation(&run.dataset.validation, &head.predict(&validation)?)?;
            let score = (run.selection.score(&evaluation), evaluation.average().accuracy().unwrap_or(0.0));
            if best.as_ref().is_none_or(|(of_best, _, _)| score > *of_best) {
                best = Some((score, step, head));
            }
        }
        let (_, step, head) = best.unwrap_or(((0.0, 0.0), step, afr.head()));
        set_head(&*model, &head)?;
        let refitted =
            run.fitted(Fit { name: "afr", title: "AFR", step, start, notes: vec![] }, model, &cache, &plain)?;
        Ok(vec![plain, refitted])
    }
}
