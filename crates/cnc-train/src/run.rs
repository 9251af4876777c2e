//! A run: one dataset, one method, one seed, one folder. Methods are written against this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_core::{Alignment, ClassGroup, ContrastiveBatch, Lengths};
use cnc_data::Dataset;
use cnc_models::Model;

use crate::checkpoint::{Finished, Tensors};
use crate::evaluate::{Predictions, View, evaluation, predict, summarise};
use crate::features::FeatureCache;
use crate::log::LogLengths;
use crate::network::Network;
use crate::results::{Selected, StageResult};
use crate::run_folder::RunFolder;
use crate::seeds::Seeds;
use crate::selection::Selection;
use crate::trainer::{Objective, Outcome, StagePlan, train};

/// What a method needs to know of the run that it is part of.
pub struct Run {
    /// The data.
    pub dataset: Arc<Dataset>,
    /// What its models are built from, and start from.
    pub network: Network,
    /// Where tensors live.
    pub device: Device,
    /// The seeds of the run.
    pub seeds: Seeds,
    /// Which checkpoint counts.
    pub selection: Selection,
    /// `--limit`, where one was given: a smoke run.
    pub limit: Option<usize>,
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

/// A stage that is fitted at once, without optimiser steps over batches.
pub struct Fit {
    /// Name in files.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Steps of the fit that it was stopped after, where a selection rule stopped it; else 0.
    pub step: u64,
    /// When it began.
    pub start: Instant,
    /// Remarks for the reader.
    pub notes: Vec<String>,
}

/// What the figures of a stage stand beside.
struct Figures<'a> {
    name: &'a str,
    title: &'a str,
    steps: u64,
    selected: &'a Selected,
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
        let (model, _) = self.network.started(self.dataset.classes.len(), seed, &self.device)?;
        Ok(model)
    }

    /// The model of a stage as it is after its last step.
    ///
    /// # Errors
    /// When the stage is of another model.
    pub fn last_model(&self, stage: &TrainedStage) -> Result<Box<dyn Model>> {
        let model = self.fresh_model(&stage.result.name)?;
        model.parameters().load(&stage.last)?;
        Ok(model)
    }

    /// Take the figures of a stage that was fitted at once to what an encoder makes of the data. It has no checkpoint: to
    /// fit it again gives the same bits.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn fitted(
        &self,
        fit: Fit,
        model: Box<dyn Model>,
        encoded: &FeatureCache<'_>,
        before: &TrainedStage,
    ) -> Result<TrainedStage> {
        let val = encoded.validation()?.answered_by(&*model, &self.device)?;
        let test = encoded.test()?.answered_by(&*model, &self.device)?;
        let evaluation = evaluation(&self.dataset.validation, &val.classes)?;
        let metric = self.selection.metric().to_owned();
        let value = self.selection.score(&evaluation);
        let selected = Selected { stage: fit.name.to_owned(), epoch: 0.0, step: fit.step, metric, value };
        let figures = Figures { name: fit.name, title: fit.title, steps: fit.step, selected: &selected };
        let mut result = self.figures(&figures, &*model, &val, &test)?;
        result.duration_s = fit.start.elapsed().as_secs_f64();
        result.notes = fit.notes;
        let last = model.parameters().named()?;
        Ok(TrainedStage { model, last, result, test, training: None, log: before.log })
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
            objective.load_state(&finished.objective)?;
            let Finished { last, result, log, .. } = finished;
            return Ok(TrainedStage { model, last, result, test, training: None, log });
        }
        let log = before.map_or(LogLengths::default(), |stage| stage.log);
        let outcome = train(self, plan, &*model, objective, log)?;
        let start = Instant::now();
        let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
        let val = predict(&*model, &self.dataset.validation, View::Centre, &self.device)?;
        let selected = &outcome.best.selected;
        let figures = Figures { name: plan.name, title: plan.title, steps: plan.steps, selected };
        let mut result = self.figures(&figures, &*model, &val, &test)?;
        result.duration_s = outcome.duration_s + start.elapsed().as_secs_f64();
        let Outcome { last, selected, objective, log, .. } = outcome;
        let finished = Finished { result, log, last, selected, objective };
        self.folder.checkpoints().save_finished(&finished)?;
        let Finished { last, result, .. } = finished;
        Ok(TrainedStage { model, last, result, test, training: None, log })
    }

    fn figures(
        &self,
        stage: &Figures<'_>,
        model: &dyn Model,
        val: &Predictions,
        test: &Predictions,
    ) -> Result<StageResult> {
        let view = View::Random(self.seeds.purpose("evaluation crop"));
        let test_random_crop = if self.dataset.test.augments() {
            let predictions = predict(model, &self.dataset.test, view, &self.device)?;
            Some(summarise(&self.dataset, &self.dataset.test, &predictions.classes)?)
        } else {
            None
        };
        Ok(StageResult {
            name: stage.name.to_owned(),
            title: stage.title.to_owned(),
            steps: stage.steps,
            duration_s: 0.0,
            selected: stage.selected.clone(),
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
            split.training_groups().iter().map(|group| ClassGroup { class: group.class, rows: &group.rows }).collect();
        Ok(Alignment::measure(&representations, &groups, Lengths::Unit)?.mean())
    }
}
