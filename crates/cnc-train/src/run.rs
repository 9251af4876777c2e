//! A run: one dataset, one method, one seed, one folder. Methods are written against this.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_core::{Alignment, ClassGroup, ContrastiveBatch, Lengths};
use cnc_data::Dataset;
use cnc_models::Model;
use cnc_models::weights::{self, Head};

use crate::checkpoint::{Finished, Tensors};
use crate::error::UsageError;
use crate::evaluate::{Predictions, View, predict, summarise};
use crate::log::LogLengths;
use crate::results::StageResult;
use crate::run_folder::RunFolder;
use crate::seeds::Seeds;
use crate::selection::Selection;
use crate::trainer::{Objective, Outcome, StagePlan, train};

/// What a method needs to know of the run that it is part of.
pub struct Run {
    /// The data.
    pub dataset: Dataset,
    /// Name of the model.
    pub model: String,
    /// Weights that every model starts from; drawn from the seed where there is no file.
    pub init: Option<PathBuf>,
    /// Whether training steps compute activations again instead of keeping them.
    pub checkpoint_activations: bool,
    /// Where tensors live.
    pub device: Device,
    /// The seeds of the run.
    pub seeds: Seeds,
    /// Which checkpoint counts.
    pub selection: Selection,
    /// Where the run is kept.
    pub folder: RunFolder,
    /// Set by a signal: save and stop.
    pub stop: Arc<AtomicBool>,
}

/// A trained stage.
pub struct TrainedStage {
    /// The model; it holds the selected weights.
    pub model: Box<dyn Model>,
    /// The weights after the last step.
    pub last: Tensors,
    /// The figures of the selected weights.
    pub result: StageResult,
    /// Its answers on the test split.
    pub test: Predictions,
    /// What it says of the training split, where the method goes on from there.
    pub training: Option<Training>,
    /// How long the log was at its end.
    log: LogLengths,
}

/// A stage's answers on the training split, and a contrastive batch that they lead to.
pub struct Training {
    /// The answers.
    pub predictions: Predictions,
    /// A batch to show in the report.
    pub batch: ContrastiveBatch,
}

/// Make a model with drawn weights one that a run trains.
///
/// # Errors
/// When the file does not fit it, or it does not recompute activations.
pub fn prepare(model: &mut dyn Model, init: Option<&Path>, checkpoint_activations: bool) -> Result<Head> {
    if checkpoint_activations {
        model.recompute_activations().map_err(|error| UsageError(format!("checkpoint_activations = true: {error}")))?;
    }
    Ok(init.map_or(Ok(Head::Loaded), |path| weights::load(model, path))?)
}

impl Run {
    /// Whether a signal asked the run to stop.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A fresh model for a stage: from `--init`, or drawn from the run's seed and the stage's name.
    ///
    /// # Errors
    /// When there is no such model, or the file does not fit it.
    pub fn fresh_model(&self, stage: &str) -> Result<Box<dyn Model>> {
        let seed = self.seeds.purpose("init").purpose(stage).value();
        let mut model = cnc_models::build(&self.model, self.dataset.classes.len(), seed, &self.device)?;
        // Which head the file has is told when the run starts.
        let _ = prepare(&mut *model, self.init.as_deref(), self.checkpoint_activations)?;
        Ok(model)
    }

    /// Train a stage and take its figures, or take both from its checkpoint when it is finished already.
    ///
    /// # Errors
    /// As [`train`].
    pub fn stage<O: Objective>(
        &self,
        plan: &StagePlan<'_>,
        objective: &mut O,
        before: Option<&TrainedStage>,
    ) -> Result<TrainedStage> {
        let model = self.fresh_model(plan.name)?;
        if let Some(finished) = self.folder.checkpoints().finished(plan.name, &self.device)? {
            model.parameters().load(&finished.selected)?;
            let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
            let Finished { last, result, log, .. } = finished;
            return Ok(TrainedStage { model, last, result, test, training: None, log });
        }
        let log = before.map_or(LogLengths::default(), |stage| stage.log);
        let outcome = train(self, plan, &*model, objective, log)?;
        let start = std::time::Instant::now();
        let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
        let mut result = self.figures(plan, &*model, &outcome, &test)?;
        result.duration_s = outcome.duration_s + start.elapsed().as_secs_f64();
        let Outcome { last, selected, log, .. } = outcome;
        let finished = Finished { result, log, last, selected };
        self.folder.checkpoints().save_finished(&finished)?;
        let Finished { last, result, .. } = finished;
        Ok(TrainedStage { model, last, result, test, training: None, log })
    }

    fn figures(
        &self,
        plan: &StagePlan<'_>,
        model: &dyn Model,
        outcome: &Outcome,
        test: &Predictions,
    ) -> Result<StageResult> {
        let val = predict(model, &self.dataset.validation, View::Centre, &self.device)?;
        let view = View::Random(self.seeds.purpose("evaluation crop"));
        let test_random_crop = if self.dataset.test.augments() {
            let predictions = predict(model, &self.dataset.test, view, &self.device)?;
            Some(summarise(&self.dataset, &self.dataset.test, &predictions.classes)?)
        } else {
            None
        };
        Ok(StageResult {
            name: plan.name.to_owned(),
            title: plan.title.to_owned(),
            steps: plan.steps,
            duration_s: 0.0,
            selected: outcome.best.selected.clone(),
            training_errors: None,
            notes: Vec::new(),
            val: summarise(&self.dataset, &self.dataset.validation, &val.classes)?,
            test: summarise(&self.dataset, &self.dataset.test, &test.classes)?,
            test_random_crop,
            alignment_loss: self.alignment(test)?,
        })
    }

    /// Mean distance between test representations, scaled to length 1, of the same class and different attribute.
    fn alignment(&self, test: &Predictions) -> Result<Option<f64>> {
        let split = &self.dataset.test;
        let representations = Tensor::from_slice(&test.representations, (split.len(), test.dim), &Device::Cpu)?;
        let groups: Vec<ClassGroup<'_>> =
            split.groups().iter().map(|group| ClassGroup { class: group.class, rows: &group.rows }).collect();
        Ok(Alignment::measure(&representations, &groups, Lengths::Unit)?.mean())
    }
}
