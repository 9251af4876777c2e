//! Automatic feature reweighting (Qiu et al. 2023, "Simple and fast group robustness by automatic feature reweighting"):
//! a plain model is trained on a part of the training split, then its last layer is fitted again to the rest, where
//! samples count for more the less likely the model finds their class. No group labels.

use std::time::Instant;

use anyhow::{Result, bail};
use cnc_base::seeds::Seeds;
use cnc_core::draws::shuffled;
use cnc_core::methods::{AfrOptions, HeldOut};
use cnc_data::Dataset;
use serde::{Deserialize, Serialize};

use super::erm::first_stage_on;
use super::needs::without_sample;
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, at_least_one, positive, within};
use crate::training::evaluate::{View, evaluation, predict_rows};
use crate::training::features::{FeatureCache, features, head_of, set_head};
use crate::training::stage::Fit;
use crate::training::train::replaces;
use crate::training::{TrainedStage, Trainer};

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "afr",
    title: "AFR",
    source: "Automatic feature reweighting, Qiu et al., ICML 2023",
    stages: &["erm", "afr"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: AfrSettings = checked("afr", settings)?;
        settings.stage1.check("stage1.")?;
        within("held_out", settings.held_out, 0.001, 0.999)?;
        within("gamma", settings.gamma, 0.0, f64::MAX)?;
        within("pull", settings.pull, 0.0, f64::MAX)?;
        positive("learning_rate", settings.learning_rate)?;
        at_least_one("steps", settings.steps)?;
        at_least_one("evaluate_every", settings.evaluate_every)?;
        within("clip_norm", settings.clip_norm, f64::MIN_POSITIVE, f64::INFINITY)?;
        Ok(Box::new(settings))
    },
};

/// Settings of AFR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AfrSettings {
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
    /// Largest norm of its gradient; `inf` does not clip.
    pub clip_norm: f64,
    /// Steps between two evaluations, of which the best is kept.
    pub evaluate_every: u64,
}

/// The training rows that the last layer is fitted to, and those that the plain model sees.
struct Parts {
    held_out: Vec<u32>,
    kept: Vec<u32>,
}

impl AfrSettings {
    fn parts(&self, rows: usize, seeds: Seeds) -> Parts {
        let mut kept = shuffled(rows as u32, &mut seeds.purpose("afr").generator());
        let held_out = ((rows as f64 * self.held_out).round() as usize).clamp(1, rows.max(2) - 1);
        let held_out = kept.drain(..held_out).collect();
        Parts { held_out, kept }
    }
}

impl Method for AfrSettings {
    fn check(&self, dataset: &Dataset, seeds: Seeds) -> Result<()> {
        let train = &dataset.train;
        let Parts { held_out, .. } = self.parts(train.len(), seeds);
        let labels: Vec<u32> = held_out.iter().filter_map(|row| train.labels().get(*row as usize)).copied().collect();
        match without_sample(&dataset.classes, &labels) {
            None => Ok(()),
            Some(class) => bail!(
                "method `afr` fits its last layer to {} held-out training samples, of which none is of class `{class}`\n  \
                 hint: raise `held_out` (now {}), or try another --seed",
                labels.len(),
                self.held_out
            ),
        }
    }

    fn refits(&self) -> bool {
        true
    }

    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let train = &trainer.dataset.train;
        let Parts { held_out, kept } = self.parts(train.len(), trainer.seeds);
        let plain = first_stage_on(trainer, &self.stage1, ("erm", "ERM"), kept)?;

        let mut notes = Vec::new();
        if trainer.encoder.is_some() {
            notes.push(
                "the encoder was trained on the samples that the last layer is fitted to, which a plain model of this method's own \
                 would not have seen"
                    .to_owned(),
            );
        }
        let start = Instant::now();
        let model = trainer.last_model(&plain)?;
        let encoder = trainer.last_model(&plain)?;
        let cache = FeatureCache::new(trainer, &*encoder);
        let labels: Vec<u32> = held_out.iter().filter_map(|row| train.labels().get(*row as usize)).copied().collect();
        let held_out = predict_rows(&*encoder, train, &held_out, View::Centre, &trainer.device)?;
        let &Self { gamma, pull, learning_rate, steps, clip_norm, .. } = self;
        let samples = HeldOut { features: features(&held_out)?, labels: &labels, head: &head_of(&*encoder)? };
        let mut afr = AfrOptions { gamma, pull, learning_rate, steps, clip_norm }.start(&samples)?;

        let validation = features(cache.validation()?)?;
        let mut best = None;
        let mut step = 0;
        while step < self.steps {
            let steps = self.evaluate_every.min(self.steps - step);
            afr.descend(steps);
            step += steps;
            let head = afr.head();
            let predictions = head.predict(&validation)?;
            let evaluation = evaluation(&trainer.dataset.validation, &predictions)?;
            let score = (trainer.value(&predictions)?, evaluation.average().accuracy().unwrap_or(0.0));
            if best.as_ref().is_none_or(|(of_best, _, _)| replaces(score, *of_best)) {
                best = Some((score, step, head));
            }
        }
        let (_, step, head) = best.unwrap_or(((0.0, 0.0), step, afr.head()));
        set_head(&*model, &head)?;
        let refitted = trainer.fitted(
            Fit { name: "afr", title: "AFR", step, value: None, start, notes },
            model,
            cache.encoded()?,
        )?;
        Ok(vec![plain, refitted])
    }
}
