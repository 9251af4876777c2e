//! Settings that several methods share, checked once when a run starts.

use candle_core::Var;
use cnc_data::{Augment, RandomView, RandomViews, Split};
use cnc_nn::optim::{AdamW, AdamWOptions, Optimizer, ParameterGroup, Schedule, Sgd, SgdOptions};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::UsageError;

/// How parameters are updated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptimizerSettings {
    /// The rule.
    pub name: OptimizerName,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Momentum of SGD; `AdamW` has its own moments and does not use it.
    pub momentum: f64,
    /// Weight decay: L2 in the gradient for SGD and Adam, decoupled for `AdamW`.
    pub weight_decay: f64,
    /// How the rate changes over the stage's steps.
    pub schedule: ScheduleName,
    /// Steps over which a `linear` schedule rises to the base rate before it falls.
    pub warmup_steps: u64,
    /// Largest global norm of the gradient; `inf` does not clip.
    pub clip_norm: f64,
}

/// The update rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerName {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam with decoupled weight decay.
    AdamW,
    /// Adam with weight decay as L2.
    Adam,
}

/// The learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScheduleName {
    /// The base rate throughout.
    Constant,
    /// Half a cosine, down to zero at the last step.
    Cosine,
    /// Up over `warmup_steps`, then a straight line to zero at the last step.
    Linear,
}

impl OptimizerSettings {
    /// Refuse values that cannot train; `prefix` is where the settings stand, for the message.
    pub(crate) fn check(&self, prefix: &str) -> Result<(), UsageError> {
        positive(&format!("{prefix}learning_rate"), self.learning_rate)?;
        within(&format!("{prefix}momentum"), self.momentum, 0.0, 0.999_999)?;
        within(&format!("{prefix}weight_decay"), self.weight_decay, 0.0, f64::MAX)?;
        if self.clip_norm.is_nan() || self.clip_norm <= 0.0 {
            return Err(invalid(
                &format!("{prefix}clip_norm"),
                self.clip_norm,
                "a number above 0, or inf for no clipping",
            ));
        }
        Ok(())
    }

    /// The optimiser of these parameters, with weight decay on those whose names `decays` says.
    pub(crate) fn build(
        &self,
        parameters: Vec<(String, Var)>,
        decays: impl Fn(&str) -> bool,
    ) -> cnc_nn::Result<Box<dyn Optimizer>> {
        let (decayed, others) = parameters.into_iter().partition(|(name, _)| decays(name));
        let group = |parameters, weight_decay| ParameterGroup { parameters, weight_decay, lr_scale: 1.0 };
        let groups = vec![group(decayed, self.weight_decay), group(others, 0.0)];
        Ok(match self.name {
            OptimizerName::Sgd => Box::new(Sgd::new(groups, SgdOptions { momentum: self.momentum, nesterov: false })?),
            OptimizerName::AdamW | OptimizerName::Adam => {
                let l2 = self.name == OptimizerName::Adam;
                Box::new(AdamW::new(groups, AdamWOptions { l2, ..AdamWOptions::default() })?)
            }
        })
    }

    /// The schedule over a stage of `steps` optimiser steps.
    pub(crate) fn schedule(&self, steps: u64) -> Schedule {
        match self.schedule {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Cosine => Schedule::Cosine { steps },
            ScheduleName::Linear => Schedule::LinearWithWarmup { warmup: self.warmup_steps, steps },
        }
    }
}

/// What training shows of every image, anew each time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewSettings {
    /// Which part of it.
    pub part: ViewPart,
    /// Smallest and largest share of the area of a resized crop.
    pub scale: [f64; 2],
    /// Smallest and largest width over height of a resized crop.
    pub ratio: [f64; 2],
    /// Whether every second image is mirrored.
    pub flip: bool,
}

/// The parts of images that training can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ViewPart {
    /// As the manifest's `[transform]` has it.
    Manifest,
    /// What evaluation shows.
    Centre,
    /// The manifest's crop at a random place.
    Crop,
    /// A random part of the decoded image, resized: torchvision's `RandomResizedCrop`.
    ResizedCrop,
}

impl ViewSettings {
    /// Refuse values that no image has; `prefix` is where the settings stand, for the message.
    pub(crate) fn check(&self, prefix: &str) -> Result<(), UsageError> {
        let Self { scale, ratio, .. } = *self;
        RandomView::ResizedCrop { scale, ratio }.check().map_err(|(key, expected)| {
            let found = if key == "scale" { scale } else { ratio };
            invalid(&format!("{prefix}{key}"), format!("{found:?}"), expected)
        })
    }

    /// The views of a batch that is drawn from this seed.
    pub(crate) fn augment(self, seed: u64) -> Augment {
        let part = match self.part {
            ViewPart::Manifest => return Augment::Random { seed },
            ViewPart::Centre => RandomView::None,
            ViewPart::Crop => RandomView::Crop,
            ViewPart::ResizedCrop => RandomView::ResizedCrop { scale: self.scale, ratio: self.ratio },
        };
        Augment::Views { seed, views: RandomViews { part, flip: self.flip } }
    }
}

/// The parts of images that the stages of a method show, by these settings.
fn parts(settings: &Table) -> Vec<&str> {
    let tables = settings.values().filter_map(Value::as_table);
    tables.flat_map(|table| table.get("part").and_then(Value::as_str).into_iter().chain(parts(table))).collect()
}

/// Whether a stage with these settings takes resized crops.
pub(crate) fn takes_resized_crops(settings: &Table) -> bool {
    parts(settings).contains(&"resized-crop")
}

/// Refuse views that a split cannot show.
pub(crate) fn check_views(settings: &Table, split: &Split) -> Result<(), UsageError> {
    let parts = parts(settings);
    let refused = |part: &str, problem: &str| Err(UsageError(format!("setting `views.part` is \"{part}\": {problem}")));
    match parts.iter().find(|part| **part != "manifest") {
        Some(part) if split.shape().is_none() => {
            refused(part, "the data are texts, which have no views; expected \"manifest\"")
        }
        _ if parts.contains(&"crop") && !split.is_cropped() => refused(
            "crop",
            "the images are not larger than what the model sees; give the manifest's [transform] a `crop`",
        ),
        _ if parts.contains(&"resized-crop") && !split.is_resizable() => refused(
            "resized-crop",
            "the decoded images are not at hand; give the transform of the images in memory a resized crop",
        ),
        _ => Ok(()),
    }
}

/// How a stage goes through the training split in plain batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    /// Samples a step.
    pub batch_size: u64,
    /// Optimiser steps; 0 where `epochs` says it.
    pub steps: u64,
    /// Passes over the training split, or their equivalent in samples; 0 where `steps` says it.
    pub epochs: u64,
    /// Optimiser steps between two evaluations; 0 evaluates once an epoch.
    pub evaluate_every: u64,
    /// Decay of the moving average of the weights that is evaluated, selected and saved; 0 takes the weights themselves.
    pub weight_averaging: f64,
    /// How parameters are updated.
    pub(crate) optimizer: OptimizerSettings,
    /// What is shown of every image.
    pub(crate) views: ViewSettings,
}

impl TrainingSettings {
    /// Refuse values that cannot train; `prefix` is where the settings stand, for the message.
    ///
    /// # Errors
    /// [`UsageError`] names the setting and what was expected.
    pub fn check(&self, prefix: &str) -> Result<(), UsageError> {
        at_least_one(&format!("{prefix}batch_size"), self.batch_size)?;
        steps_or_epochs(prefix, self.steps, self.epochs)?;
        within(&format!("{prefix}weight_averaging"), self.weight_averaging, 0.0, 0.999_999)?;
        self.views.check(&format!("{prefix}views."))?;
        self.optimizer.check(&format!("{prefix}optimizer."))
    }
}

/// Refuse a stage whose length is said twice or not at all.
pub(crate) fn steps_or_epochs(prefix: &str, steps: u64, epochs: u64) -> Result<(), UsageError> {
    if (steps == 0) != (epochs == 0) {
        return Ok(());
    }
    Err(UsageError(format!(
        "setting `{prefix}steps` is {steps} and `{prefix}epochs` is {epochs}: expected exactly one of them to say how long the stage is, and 0 for the other"
    )))
}

/// Refuse a whole number of zero, and one that is a typing mistake: no memory holds so many.
pub(crate) fn at_least_one(name: &str, value: u64) -> Result<(), UsageError> {
    const MOST: u64 = 10_000_000;
    if (1..=MOST).contains(&value) {
        Ok(())
    } else {
        Err(invalid(name, value, &format!("a whole number of at least 1 and at most {MOST}")))
    }
}

/// Refuse zero, negative numbers, infinity and NaN.
pub(crate) fn positive(name: &str, value: f64) -> Result<(), UsageError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(invalid(name, value, "a finite number above 0")) }
}

/// Refuse numbers outside `[low, high]`, and NaN.
pub(crate) fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), UsageError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else if high == f64::MAX {
        Err(invalid(name, value, &format!("a number of at least {low}")))
    } else {
        Err(invalid(name, value, &format!("a number from {low} to {high}")))
    }
}

fn invalid(name: &str, value: impl std::fmt::Display, expected: &str) -> UsageError {
    UsageError(format!("setting `{name}` is {value}, expected {expected}"))
}
