//! Correct-N-Contrast (Zhang et al., ICML 2022): train, slice, sample, contrast.
//!
//! 1. Train a plain model (ERM), so that it leans on the spurious attribute.
//! 2. Slice the training samples by its predictions, which stand in for the attribute; or by predictions of models that
//!    have not seen them, for models that learn their training set by heart; or by clusters of its representations.
//! 3. Sample contrastive batches: anchors the plain model got right, positives of the same class that it got wrong,
//!    negatives of other classes that it predicted alike.
//! 4. Train a second model, from fresh weights, on `λ · contrastive loss + (1 - λ) · cross-entropy`.

use anyhow::{Context, Result};
use candle_core::Tensor;
use cnc_core::contrast::{Lead, folds};
use cnc_core::fits::ClusterOptions;
use cnc_core::{
    Contrast, ContrastiveBatch, ContrastiveLoss, ContrastiveOptions, ContrastiveSampler, Parts, Sides, Slices,
    cross_entropy,
};
use cnc_data::{Batch, Draw};
use cnc_models::{Mode, Model};
use cnc_nn::optim::{Accumulating, Optimizer};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::erm::{first_stage, first_stage_on};
use super::errors::{answers_on_training, training_errors};
use super::{GroupLabels, Method, MethodInfo};
use crate::config::recipe::checked;
use crate::config::settings::{
    OptimizerSettings, TrainingSettings, ViewSettings, at_least_one, positive, steps_or_epochs, within,
};
use crate::error::UsageError;
use crate::training::features::features;
use crate::training::plan::Taken;
use crate::training::predictions::Predictions;
use crate::training::stage::Training;
use crate::training::train::is_under;
use crate::training::{Objective, StagePlan};
use crate::training::{TrainedStage, Trainer};
use cnc_base::seeds::Seeds;

/// The registry's entry.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: "cnc",
    title: "CNC",
    source: "Correct-N-Contrast, Zhang et al., ICML 2022",
    stages: &["erm", "cnc"],
    groups: GroupLabels::None,
    settings: "",
    build: |settings| Ok(Box::new(CncSettings::read(settings)?)),
};

/// Settings of Correct-N-Contrast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CncSettings {
    /// The plain model of the first stage.
    pub stage1: TrainingSettings,
    /// What the training samples are sliced by.
    pub slices: SliceRule,
    /// Models that predict each other's samples where slices are cross-fitted; not used otherwise.
    pub folds: u64,
    /// Which terms the loss has.
    pub sides: Sides,
    /// Which samples of a contrastive batch are contrasted.
    pub loss: Contrast,
    /// Temperature τ of the similarities.
    pub temperature: f64,
    /// Weight λ of the contrastive loss; cross-entropy has `1 - λ`.
    pub contrastive_weight: f64,
    /// Samples M in each of the four parts of a contrastive batch.
    pub per_part: u64,
    /// Contrastive batches that make one optimiser step, taken from the slices in turn.
    pub batches_per_step: u64,
    /// How many of them are encoded at once: more is faster, fewer takes less memory; the loss is the same.
    pub batches_per_encoding: u64,
    /// Optimiser steps; 0 where `epochs` says it.
    pub steps: u64,
    /// Epochs of (number of slices) x (anchors of the smallest slice) contrastive batches; 0 where `steps` says it.
    pub epochs: u64,
    /// Share of the anchors that lead a batch in an epoch.
    pub anchors_per_epoch: f64,
    /// Optimiser steps between two evaluations; 0 evaluates once an epoch.
    pub evaluate_every: u64,
    /// Decay of the moving average of the weights that is evaluated, selected and saved; 0 takes the weights themselves.
    pub weight_averaging: f64,
    /// Zero the classifier's gradient once an epoch instead of every step, so that it adds up: a defect of the published
    /// code that the paper's figure for CMNIST* depends on.
    pub accumulate_classifier_gradient: bool,
    /// How parameters are updated.
    pub optimizer: OptimizerSettings,
    /// What is shown of every image in the second stage.
    pub views: ViewSettings,
}

/// What the training samples are sliced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SliceRule {
    /// The prediction of the plain model.
    Prediction,
    /// The prediction of a plain model that was trained on the other folds.
    CrossFitted,
    /// Clusters of the plain model's representations, as many as classes.
    Clusters,
}

impl CncSettings {
    fn read(settings: &Table) -> Result<Self, UsageError> {
        let settings: Self = checked("cnc", settings)?;
        settings.stage1.check("stage1.")?;
        positive("temperature", settings.temperature)?;
        within("contrastive_weight", settings.contrastive_weight, 0.0, 1.0)?;
        if settings.slices == SliceRule::CrossFitted && settings.folds < 2 {
            return Err(UsageError(format!(
                "setting `folds` is {}, expected a whole number of at least 2",
                settings.folds
            )));
        }
        at_least_one("per_part", settings.per_part)?;
        at_least_one("batches_per_step", settings.batches_per_step)?;
        at_least_one("batches_per_encoding", settings.batches_per_encoding)?;
        within("anchors_per_epoch", settings.anchors_per_epoch, 1e-6, 1.0)?;
        within("weight_averaging", settings.weight_averaging, 0.0, 0.999_999)?;
        steps_or_epochs("", settings.steps, settings.epochs)?;
        settings.views.check("views.")?;
        settings.optimizer.check("optimizer.")?;
        Ok(settings)
    }

    fn loss(&self) -> Result<ContrastiveLoss> {
        Ok(ContrastiveLoss::new(ContrastiveOptions {
            temperature: self.temperature,
            sides: self.sides,
            contrast: self.loss,
        })?)
    }

    /// Contrastive batches of an epoch.
    fn batches_per_epoch(&self, sampler: &ContrastiveSampler) -> u64 {
        ((sampler.batches_per_epoch() as f64 * self.anchors_per_epoch).ceil() as u64).max(1)
    }

    /// The pace of the second stage.
    fn pace(&self, trainer: &Trainer, sampler: &ContrastiveSampler) -> Pace {
        let (batches_per_epoch, batches_per_step) = (self.batches_per_epoch(sampler), self.batches_per_step);
        let rows = trainer.dataset.train.len() as u64;
        let batches_of_rows =
            trainer.limit.filter(|limit| *limit as u64 <= rows).map(|_| rows.div_ceil(4 * self.per_part));
        Pace { batches_per_epoch, batches_per_step }.at_most(batches_of_rows.unwrap_or(u64::MAX))
    }
}

/// How many contrastive batches there are in an epoch and in an optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    batches_per_epoch: u64,
    batches_per_step: u64,
}

impl Pace {
    /// An epoch and a step of at most so many batches. In a smoke run these are the ones that show as many samples as the few
    /// rows are: each of them leads a batch of many, and a recipe's step may be made for a thousand times as many.
    fn at_most(self, batches: u64) -> Self {
        Self {
            batches_per_epoch: self.batches_per_epoch.min(batches),
            batches_per_step: self.batches_per_step.min(batches),
        }
    }

    /// Optimiser steps of one epoch.
    fn steps_per_epoch(self) -> u64 {
        self.batches_per_epoch.div_ceil(self.batches_per_step)
    }
}

impl Method for CncSettings {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let (mut stages, predictions) = match self.slices {
            SliceRule::CrossFitted => self.cross_fitted(trainer)?,
            SliceRule::Prediction | SliceRule::Clusters => {
                let plain = first_stage(trainer, &self.stage1)?;
                let predictions = answers_on_training(trainer, &plain)?;
                (vec![plain], predictions)
            }
        };
        let plain = stages.last_mut().context("the first stage trained no model")?;
        training_errors(trainer, &mut plain.result, &predictions.classes);
        let sampler = ContrastiveSampler::new(self.slice(trainer, &predictions)?, self.per_part as usize)?;
        plain.training = Some(Training { batch: a_batch_to_show(trainer, &sampler)?, predictions });
        let fallbacks = sampler.slices().fallbacks().iter();
        let mut notes: Vec<String> =
            fallbacks.map(ToString::to_string).chain(sampler.notes().iter().map(ToString::to_string)).collect();
        let pace = self.pace(trainer, &sampler);
        if pace.batches_per_step < self.batches_per_step {
            let (batches, of_recipe) = (pace.batches_per_step, self.batches_per_step);
            notes.push(format!(
                "a smoke run: contrastive batches in a step {batches} instead of {of_recipe}, in an epoch {}",
                pace.batches_per_epoch
            ));
        }
        for note in &notes {
            trainer.note(&format!("note: {note}"));
        }
        stages.push(self.contrast(trainer, sampler, pace, notes)?);
        Ok(stages)
    }
}

/// Dimensions that representations are brought to before they are clustered, as published.
const CLUSTERED_DIMENSIONS: usize = 2;

impl CncSettings {
    fn slice(&self, trainer: &Trainer, predictions: &Predictions) -> Result<Slices> {
        let (labels, classes) = (trainer.dataset.train.labels(), trainer.dataset.classes.len());
        if self.slices != SliceRule::Clusters {
            return Ok(Slices::from_predictions(labels, &predictions.classes, classes)?);
        }
        let mut generator = trainer.seeds.purpose("clusters").generator();
        let features = features(predictions)?;
        let options = ClusterOptions { clusters: classes, components: CLUSTERED_DIMENSIONS };
        let clusters = options.fit(&features, &mut generator)?.predict(&features)?;
        Ok(Slices::from_clusters(labels, &clusters, classes)?)
    }

    /// A plain model for each fold, trained on the others, and what each says of its fold.
    fn cross_fitted(&self, trainer: &Trainer) -> Result<(Vec<TrainedStage>, Predictions)> {
        let train = &trainer.dataset.train;
        let fold_of = folds(train.labels(), self.folds as usize, &mut trainer.seeds.purpose("folds").generator())?;
        let mut stages: Vec<TrainedStage> = Vec::new();
        let mut combined = Predictions::default();
        for fold in 0..self.folds as u32 {
            let (name, title) = (format!("fold-{}", fold + 1), format!("ERM, fold {}", fold + 1));
            let others = (0..).zip(&fold_of).filter(|(_, of_row)| **of_row != fold).map(|(row, _)| row).collect();
            let stage = first_stage_on(trainer, &self.stage1, (&name, &title), others)?;
            let answers = answers_on_training(trainer, &stage)?;
            if fold == 0 {
                combined = answers;
            } else {
                combined.take(&answers, |row| fold_of.get(row) == Some(&fold));
            }
            stages.push(stage);
        }
        Ok((stages, combined))
    }
}

/// One contrastive batch for the report.
fn a_batch_to_show(trainer: &Trainer, sampler: &ContrastiveSampler) -> Result<ContrastiveBatch> {
    let slice = sampler.drawable().first().copied().context("no slice has an anchor")?;
    Ok(sampler.draw(slice, &mut trainer.seeds.purpose("report").generator())?)
}

impl CncSettings {
    /// Train the second model on contrastive batches.
    fn contrast(
        &self,
        trainer: &Trainer,
        sampler: ContrastiveSampler,
        pace: Pace,
        notes: Vec<String>,
    ) -> Result<TrainedStage> {
        let samples_per_step = pace.batches_per_step * 4 * self.per_part;
        let plan = StagePlan {
            name: "cnc",
            title: "CNC",
            steps: if self.steps > 0 { self.steps } else { self.epochs * pace.steps_per_epoch() },
            steps_per_epoch: trainer.dataset.train.len() as f64 / samples_per_step as f64,
            evaluate_every: if self.evaluate_every > 0 { self.evaluate_every } else { pace.steps_per_epoch() },
            optimizer: &self.optimizer,
            averaging: self.weight_averaging,
            taken: Taken::Selected,
        };
        let mut objective = CorrectNContrast {
            loss: self.loss()?,
            weight: self.contrastive_weight,
            batches_per_step: pace.batches_per_step,
            batches_per_encoding: self.batches_per_encoding,
            stored_statistics: trainer.network.pretrained(),
            seeds: trainer.seeds.purpose("cnc"),
            views: self.views,
            device: trainer.device.clone(),
            zero_classifier_every: if self.accumulate_classifier_gradient { pace.steps_per_epoch() } else { 1 },
            clip_apart: self.loss == Contrast::Published,
            batches_per_epoch: self.batches_per_epoch(&sampler),
            sampler,
        };
        let mut stage = trainer.stage(&plan, &mut objective)?;
        stage.result.notes.extend(notes);
        Ok(stage)
    }
}

struct CorrectNContrast {
    sampler: ContrastiveSampler,
    loss: ContrastiveLoss,
    weight: f64,
    batches_per_step: u64,
    batches_per_encoding: u64,
    /// Whether the encoder is in evaluation mode.
    stored_statistics: bool,
    seeds: Seeds,
    views: ViewSettings,
    device: candle_core::Device,
    /// Optimiser steps after which the gradient of the classifier is zeroed: 1, but for the published code, where it adds up
    /// over an epoch.
    zero_classifier_every: u64,
    /// Whether encoder and classifier are clipped each by its own norm, as in the published step.
    clip_apart: bool,
    /// Contrastive batches of an epoch.
    batches_per_epoch: u64,
}

/// Sizes of the four parts of a contrastive batch, in the order in which they are encoded.
type PartSizes = [usize; 4];

impl Objective for CorrectNContrast {
    type Tag = Vec<PartSizes>;

    /// Every anchor leads a batch once an epoch, or a share of them does that is drawn anew for each, the slices in turn.
    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<Self::Tag>> + Send> {
        let sampler = self.sampler.clone();
        let per_epoch = self.batches_per_epoch;
        let (per_step, per_encoding) = (self.batches_per_step, self.batches_per_encoding as usize);
        let (seeds, views) = (self.seeds, self.views);
        let (order_seeds, draw_seeds, crop_seeds) =
            (seeds.purpose("order"), seeds.purpose("draw"), seeds.purpose("crop"));
        let mut current: Option<(u64, Vec<Lead>)> = None;
        let mut lead = move |index: u64, sampler: &ContrastiveSampler| {
            let epoch = index / per_epoch;
            if current.as_ref().is_none_or(|(of, _)| *of != epoch) {
                current = Some((epoch, sampler.epoch(&mut order_seeds.at(epoch).generator())));
            }
            current.as_ref().and_then(|(_, leads)| leads.get((index % per_epoch) as usize)).copied()
        };
        Box::new(move |step| {
            let mut generator = draw_seeds.at(step).generator();
            let batches: Vec<ContrastiveBatch> = (step * per_step..(step + 1) * per_step)
                .filter_map(|index| lead(index, &sampler))
                .filter_map(|lead| sampler.draw_for(lead, &mut generator).ok())
                .collect();
            let encodings = batches.chunks(per_encoding).enumerate();
            encodings
                .map(|(index, batches)| Draw {
                    rows: batches.iter().flat_map(ContrastiveBatch::rows).collect(),
                    augment: views.augment(crop_seeds.at(step).at(index as u64).value()),
                    tag: batches.iter().map(ContrastiveBatch::sizes).collect(),
                })
                .collect()
        })
    }

    /// An encoder that starts from weights of a file is in evaluation mode in this stage, as published: batch norm uses its
    /// stored statistics and dropout is off in it. One that is drawn has no statistics yet (mean 0, variance 1, whatever the
    /// data), so it is in training mode. The classifier is a linear map and nothing else, as published: the dropout that BERT has
    /// in front of its own is in neither.
    fn loss(&mut self, model: &dyn Model, batch: Batch, sizes: &Vec<PartSizes>, seed: u64) -> Result<Tensor> {
        let mode = if self.stored_statistics { Mode::Eval } else { Mode::Train { seed } };
        let z = model.encode(&batch.inputs.on_device(&self.device)?, mode)?;
        let logits = model.classify(&z, Mode::Eval)?;
        let supervised = cross_entropy(&logits, &batch.labels.to_device(&self.device)?)?;
        let mut start = 0;
        let mut contrastive = Vec::with_capacity(sizes.len());
        for sizes in sizes {
            let rows = sizes.iter().sum();
            let parts = Parts::split(&z.narrow(0, start, rows)?, *sizes)?;
            contrastive.push(self.loss.forward(&parts)?);
            start += rows;
        }
        let contrastive = Tensor::stack(&contrastive, 0)?.mean_all()?;
        Ok(((contrastive * self.weight)? + (supervised * (1.0 - self.weight))?)?)
    }

    fn clipped_apart(&self, model: &dyn Model) -> Option<&'static str> {
        self.clip_apart.then(|| model.classifier())
    }

    fn optimizer(&self, model: &dyn Model, of_settings: Box<dyn Optimizer>) -> Result<Box<dyn Optimizer>> {
        if self.zero_classifier_every <= 1 {
            return Ok(of_settings);
        }
        let of_classifier = |(name, _): &(String, _)| is_under(name, model.classifier());
        let classifier: Vec<_> = model.trainable().into_iter().filter(of_classifier).collect();
        Ok(Box::new(Accumulating::new(of_settings, &classifier, self.zero_classifier_every)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smoke_run_has_steps_and_epochs_of_as_many_samples_as_there_are_rows() {
        // CelebA's recipe on 256 rows, 60 anchors in the smaller of two slices.
        let pace = Pace { batches_per_epoch: 120, batches_per_step: 32 };
        assert_eq!(pace.steps_per_epoch(), 4);
        assert_eq!(pace.at_most(1), Pace { batches_per_epoch: 1, batches_per_step: 1 });
        assert_eq!(pace.at_most(5).steps_per_epoch(), 1);
        assert_eq!(pace.at_most(u64::MAX), pace);
    }
}
