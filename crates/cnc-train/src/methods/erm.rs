//! Empirical risk minimisation: cross-entropy over shuffled batches. The first stage of many other methods as well.
//!
//! As a method of its own it has the usual remedies as options: label smoothing, focal loss, mixup, class weights.

use anyhow::{Context, Result, bail};
use candle_core::{D, Device, Tensor};
use cnc_core::draws::shuffled;
use cnc_core::losses::{
    cross_entropy_per_sample, focal_loss_per_sample, mixed_cross_entropy_per_sample, smoothed_cross_entropy_per_sample,
    weighted_mean,
};
use cnc_core::methods::class_weights;
use cnc_data::{Batch, Draw, Inputs};
use cnc_models::{Mode, Model};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::{GroupLabels, Method, MethodInfo, logits};
use crate::config::recipe::checked;
use crate::config::settings::{TrainingSettings, within};
use crate::error::UsageError;
use crate::training::{Batches, Objective, Order, StagePlan, Tensors, TrainedStage, Trainer};
use cnc_base::seeds::Seeds;

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "erm",
    title: "ERM",
    source: "empirical risk minimisation",
    stages: &["erm"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| {
        let settings: ErmSettings = checked("erm", settings)?;
        settings.training.check("")?;
        settings.variant()?;
        Ok(Box::new(settings))
    },
};

/// Settings of ERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErmSettings {
    /// How the stage trains.
    #[serde(flatten)]
    pub training: TrainingSettings,
    /// Share of the target that label smoothing spreads over all classes; 0 does not smooth.
    pub label_smoothing: f64,
    /// Exponent γ of focal loss; 0 is cross-entropy.
    pub focal_gamma: f64,
    /// α of mixup, whose weights are drawn from Beta(α, α), one a batch; 0 does not mix. Images only.
    pub mixup_alpha: f64,
    /// Weigh each class by the inverse of its size.
    pub class_weights: bool,
}

/// The loss of a sample.
#[derive(Debug, Clone, Copy)]
enum Variant {
    Plain,
    Smoothed(f64),
    Focal(f64),
    Mixed(Beta<f64>),
}

impl ErmSettings {
    fn variant(&self) -> Result<Variant, UsageError> {
        within("label_smoothing", self.label_smoothing, 0.0, 1.0)?;
        within("focal_gamma", self.focal_gamma, 0.0, f64::MAX)?;
        within("mixup_alpha", self.mixup_alpha, 0.0, f64::MAX)?;
        match (self.label_smoothing > 0.0, self.focal_gamma > 0.0, self.mixup_alpha > 0.0) {
            (false, false, false) => Ok(Variant::Plain),
            (true, false, false) => Ok(Variant::Smoothed(self.label_smoothing)),
            (false, true, false) => Ok(Variant::Focal(self.focal_gamma)),
            (false, false, true) => Beta::new(self.mixup_alpha, self.mixup_alpha)
                .map(Variant::Mixed)
                .map_err(|e| UsageError(format!("setting `mixup_alpha` is {}: {e}", self.mixup_alpha))),
            _ => Err(UsageError(format!(
                "settings `label_smoothing` {}, `focal_gamma` {} and `mixup_alpha` {}: expected at most one of them above 0",
                self.label_smoothing, self.focal_gamma, self.mixup_alpha
            ))),
        }
    }
}

impl Method for ErmSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let train = &trainer.dataset.train;
        let weights =
            if self.class_weights { class_weights(train.labels(), trainer.dataset.classes.len())? } else { vec![] };
        let batches = trainer.batches(Order::all(train.len()), &self.training, "erm");
        let variant = self.variant()?;
        let mut objective =
            Erm { batches, device: trainer.device.clone(), variant, class_weights: weights, online: None };
        Ok(vec![trainer.stage(&StagePlan::new(&self.training, "erm", "ERM", train.len()), &mut objective)?])
    }
}

/// Train the stage `erm`: the plain model that other methods start from.
///
/// # Errors
/// As [`Trainer::stage`].
pub fn first_stage(trainer: &Trainer, training: &TrainingSettings) -> Result<TrainedStage> {
    let rows: Vec<u32> = (0..trainer.dataset.train.len() as u32).collect();
    first_stage_on(trainer, training, ("erm", "ERM"), rows)
}

/// Train a plain stage, with its name in files and for people, on these rows.
pub(super) fn first_stage_on(
    trainer: &Trainer,
    training: &TrainingSettings,
    (name, title): (&str, &str),
    rows: Vec<u32>,
) -> Result<TrainedStage> {
    let plan = StagePlan::new(training, name, title, rows.len()).first();
    let batches = trainer.batches(Order::Epochs(rows.into()), training, name);
    trainer.stage(&plan, &mut plain(trainer, batches))
}

/// Train the stage `erm`, and give the class that its model predicted for each row of the training split when the row was last
/// in a batch: in training mode, before the update. A row that was in none is taken as right.
pub(super) fn first_stage_online(trainer: &Trainer, training: &TrainingSettings) -> Result<(TrainedStage, Vec<u32>)> {
    let train = &trainer.dataset.train;
    let batches = trainer.batches(Order::all(train.len()), training, "erm");
    let mut objective = Erm { online: Some(train.labels().to_vec()), ..plain(trainer, batches) };
    let stage = trainer.stage(&StagePlan::new(training, "erm", "ERM", train.len()).first(), &mut objective)?;
    Ok((stage, objective.online.unwrap_or_default()))
}

/// Plain cross-entropy on these batches.
pub(super) fn plain(trainer: &Trainer, batches: Batches) -> Erm {
    Erm { batches, device: trainer.device.clone(), variant: Variant::Plain, class_weights: vec![], online: None }
}

/// Cross-entropy, or a variant of it.
pub(super) struct Erm {
    batches: Batches,
    device: Device,
    variant: Variant,
    /// One a class; none where all count alike.
    class_weights: Vec<f64>,
    /// The prediction for every row as it was last seen, where it is asked for.
    online: Option<Vec<u32>>,
}

/// Name of these predictions in a checkpoint.
const ONLINE: &str = "online";

/// Targets of a batch of which each sample is mixed with another.
struct Mix {
    lambda: f64,
    others: Tensor,
}

impl Objective for Erm {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.batches.sampler()
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let labels = batch.labels.to_device(&self.device)?;
        let mode = Mode::Train { seed };
        let (losses, mix) = match self.variant {
            Variant::Mixed(beta) => {
                let (inputs, mix) = mixed(batch.inputs, &labels, beta, seed)?;
                let logits = logits(model, inputs, mode, &self.device)?;
                (mixed_cross_entropy_per_sample(&logits, &labels, &mix.others, mix.lambda)?, Some(mix))
            }
            variant => {
                let logits = logits(model, batch.inputs, mode, &self.device)?;
                if let Some(online) = &mut self.online {
                    for (row, class) in batch.indices.iter().zip(logits.argmax(D::Minus1)?.to_vec1::<u32>()?) {
                        if let Some(place) = online.get_mut(*row as usize) {
                            *place = class;
                        }
                    }
                }
                let losses = match variant {
                    Variant::Smoothed(share) => smoothed_cross_entropy_per_sample(&logits, &labels, share)?,
                    Variant::Focal(gamma) => focal_loss_per_sample(&logits, &labels, gamma)?,
                    Variant::Plain | Variant::Mixed(_) => cross_entropy_per_sample(&logits, &labels)?,
                };
                (losses, None)
            }
        };
        if self.class_weights.is_empty() {
            return Ok(losses.mean_all()?);
        }
        Ok(weighted_mean(&losses, &self.weights(&labels, mix.as_ref())?)?)
    }

    fn state(&self) -> Result<Tensors> {
        let Some(online) = &self.online else { return Ok(Tensors::new()) };
        Ok(Tensors::from([(ONLINE.to_owned(), Tensor::from_slice(online, online.len(), &Device::Cpu)?)]))
    }

    fn load_state(&mut self, state: &Tensors) -> Result<()> {
        if let Some(online) = &mut self.online {
            *online = state.get(ONLINE).context("the checkpoint has no predictions of the rows")?.to_vec1()?;
        }
        Ok(())
    }
}

impl Erm {
    /// The weight of each sample: its class's, or the mean of the two that are mixed in it.
    fn weights(&self, labels: &Tensor, mix: Option<&Mix>) -> Result<Vec<f64>> {
        let of = |labels: &Tensor| -> Result<Vec<f64>> {
            let weights =
                labels.to_vec1::<u32>()?.into_iter().map(|label| self.class_weights.get(label as usize).copied());
            weights.collect::<Option<Vec<f64>>>().context("a label is no class")
        };
        let own = of(labels)?;
        let Some(Mix { lambda, others }) = mix else { return Ok(own) };
        Ok(own.iter().zip(of(others)?).map(|(own, other)| lambda * own + (1.0 - lambda) * other).collect())
    }
}

/// Mix every image with another of the batch (Zhang et al. 2018, "mixup: beyond empirical risk minimization").
fn mixed(inputs: Inputs, labels: &Tensor, beta: Beta<f64>, seed: u64) -> Result<(Inputs, Mix)> {
    let Inputs::Images(images) = inputs else {
        bail!("setting `mixup_alpha` mixes images, and these data are text; expected 0");
    };
    let mut generator = Seeds::new(seed).purpose("mixup").generator();
    let lambda = beta.sample(&mut generator);
    let order = shuffled(labels.dim(0)? as u32, &mut generator);
    let order = Tensor::new(order, images.device())?;
    let others = images.index_select(&order, 0)?;
    let images = ((images * lambda)? + (others * (1.0 - lambda))?)?;
    let others = labels.index_select(&order.to_device(labels.device())?, 0)?;
    Ok((Inputs::Images(images), Mix { lambda, others }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::OptimizerName;
    use crate::methods::steps::{Fixture, rule};
    use crate::training::batches::images;

    #[test]
    fn five_steps_and_the_answers_as_samples_are_seen_are_those_of_the_published_first_stage_of_jtt() {
        let fixture = Fixture::load();
        let labels = fixture.numbers("labels");
        let mut objective = Erm {
            batches: Batches::new(images(), Order::all(9), 4, Seeds::new(0)),
            device: Device::Cpu,
            variant: Variant::Plain,
            class_weights: vec![],
            online: Some(labels.clone()),
        };
        let model = fixture.network("first", 1.0);
        fixture.train(&*model, &mut objective, &rule(OptimizerName::Sgd, 0.1, 0.01));
        fixture.check("jtt", "first", &*model);
        assert_eq!(objective.online, Some(fixture.numbers("jtt.seen")));
        let mut resumed = Erm { online: Some(labels), ..objective };
        resumed
            .load_state(&Tensors::from([(ONLINE.to_owned(), Tensor::new(&[2u32, 1], &Device::Cpu).unwrap())]))
            .unwrap();
        assert_eq!(resumed.online, Some(vec![2, 1]));
        assert!(resumed.load_state(&Tensors::new()).is_err());
    }
}
