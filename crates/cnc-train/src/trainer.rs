//! The one training loop of all methods.
//!
//! A method says what a batch is, what the loss is and what happens between stages; everything else is here:
//! loading ahead, gradients, the optimiser, evaluation, selection, checkpoints, interruption.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor, Var};
use cnc_data::{Batch, Draw, Split, prefetch};
use cnc_models::Model;
use cnc_nn::optim::{Accumulating, Gradients, Optimizer};

use crate::averaging::Average;
use crate::checkpoint::{Best, Counters, InProgress, Tensors};
use crate::error::Interrupted;
use crate::evaluate::{Predictions, View, evaluation, predict};
use crate::log::{Log, LogLengths, MetricLine};
use crate::progress::Progress;
use crate::results::Selected;
use crate::run::Run;
use crate::settings::OptimizerSettings;

/// Batches that the loader may be ahead of the trainer.
const AHEAD: usize = 3;

/// What a method trains on: batches and their loss.
pub trait Objective {
    /// What travels with a batch from the sampler to the loss, for example the sizes of its parts.
    type Tag: Send + 'static;

    /// The sampler: the batches of one optimiser step, as a function of the step alone, so that a resumed run goes on
    /// with the same ones. It runs on the loader's thread. The losses of a step's batches are averaged.
    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<Self::Tag>> + Send>;

    /// The loss of a batch, a scalar tensor; `seed` is for draws of this batch (dropout).
    ///
    /// # Errors
    /// When the model does not take the batch.
    fn loss(&mut self, model: &dyn Model, batch: Batch, tag: &Self::Tag, seed: u64) -> Result<Tensor>;

    /// What is trained besides the model, by names that no variable of the model has: a second model, for methods that
    /// train two at once. Their gradients come from the same loss and are clipped with the model's.
    fn further_parameters(&self) -> Vec<(String, Var)> {
        Vec::new()
    }

    /// All that the objective has learnt up to here and that is not in the model, for the checkpoint.
    ///
    /// # Errors
    /// When a copy cannot be made.
    fn state(&self) -> Result<Tensors> {
        Ok(Tensors::new())
    }

    /// Go on from what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// When the state is not one of this objective.
    fn load_state(&mut self, _state: &Tensors) -> Result<()> {
        Ok(())
    }
}

/// What one stage of a method is.
pub struct StagePlan<'a> {
    /// Name in files.
    pub name: &'a str,
    /// Name for people.
    pub title: &'a str,
    /// Optimiser steps.
    pub steps: u64,
    /// Optimiser steps that make one pass over the training split.
    pub steps_per_epoch: f64,
    /// Optimiser steps between two evaluations.
    pub evaluate_every: u64,
    /// How parameters are updated.
    pub optimizer: &'a OptimizerSettings,
    /// Decay of the moving average of the weights that is evaluated and selected; 0 takes the weights themselves.
    pub averaging: f64,
    /// Optimiser steps after which the gradient of the classifier is zeroed: 1, but for the published code of
    /// Correct-N-Contrast, where it adds up over an epoch.
    pub zero_classifier_every: u64,
}

/// What training ended with, before the figures are taken.
pub struct Outcome {
    /// The weights after the last step.
    pub last: Tensors,
    /// The weights that the selection rule chose.
    pub selected: Tensors,
    /// What the objective keeps besides the model after the last step.
    pub objective: Tensors,
    /// What it chose.
    pub best: Best,
    /// Seconds of training.
    pub duration_s: f64,
    /// How long the log was at its end.
    pub log: LogLengths,
}

/// Train a stage to its end, from its checkpoint where there is one. The model ends with the selected weights.
///
/// # Errors
/// When a batch cannot be read, the loss or a gradient is not finite, a file cannot be written, or a signal stopped the run.
pub fn train<O: Objective>(
    run: &Run,
    plan: &StagePlan<'_>,
    model: &dyn Model,
    objective: &mut O,
    log: LogLengths,
) -> Result<Outcome> {
    let mut stage = Stage::start(run, plan, model, objective, log)?;
    let mut progress = Progress::start(plan.title, plan.steps, stage.counters.step);
    let mut sampler = objective.sampler();
    let draws = (stage.counters.step..plan.steps).flat_map(move |step| {
        let draws = sampler(step);
        let parts = draws.len();
        draws.into_iter().enumerate().map(move |(part, draw)| Draw {
            rows: draw.rows,
            augment: draw.augment,
            tag: Part { tag: draw.tag, index: part, of: parts },
        })
    });
    let seeds = run.seeds.purpose(&format!("{}/dropout", plan.name));
    let mut step = StepSum::default();
    for item in prefetch(Arc::clone(&run.dataset.train), draws, AHEAD) {
        let (batch, part) = item?;
        let seed = seeds.at(stage.counters.step).at(part.index as u64).value();
        step.samples += batch.indices.len() as u64;
        let loss = objective.loss(model, batch, &part.tag, seed)?;
        step.add(&loss, part.of, stage.parameters())?;
        if part.index + 1 < part.of {
            continue;
        }
        let done = std::mem::take(&mut step);
        stage.update(&done)?;
        progress.step(stage.counters.step, done.samples, stage.mean_loss());
        if stage.counters.step.is_multiple_of(plan.evaluate_every) || stage.counters.step == plan.steps {
            stage.evaluate(objective, &mut progress)?;
        }
        if run.interrupted() {
            stage.save(objective)?;
            progress.finish();
            return Err(Interrupted { stage: plan.name.to_owned(), step: stage.counters.step, repeat: false }.into());
        }
    }
    progress.finish();
    stage.end(objective)
}

/// Where a batch stands among those of its step.
struct Part<T> {
    tag: T,
    index: usize,
    of: usize,
}

/// The loss and gradients of one step so far.
#[derive(Default)]
struct StepSum {
    loss: f64,
    samples: u64,
    gradients: Option<Gradients>,
}

impl StepSum {
    /// Add a batch that is one of `parts` of the step.
    fn add(&mut self, loss: &Tensor, parts: usize, parameters: &[(String, Var)]) -> Result<()> {
        let loss = if parts == 1 { loss.clone() } else { (loss / parts as f64)? };
        self.loss += f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        let gradients = Gradients::of(&loss, parameters)?;
        match &mut self.gradients {
            None => self.gradients = Some(gradients),
            Some(sum) => sum.add(&gradients)?,
        }
        Ok(())
    }
}

/// A stage while it trains.
struct Stage<'a> {
    run: &'a Run,
    plan: &'a StagePlan<'a>,
    model: &'a dyn Model,
    parameters: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
    counters: Counters,
    average: Option<Average>,
    best: Tensors,
    log: Log,
    start: Instant,
    duration_before: f64,
}

impl<'a> Stage<'a> {
    fn start<O: Objective>(
        run: &'a Run,
        plan: &'a StagePlan<'a>,
        model: &'a dyn Model,
        objective: &mut O,
        log: LogLengths,
    ) -> Result<Self> {
        let mut parameters = model.trainable();
        parameters.extend(objective.further_parameters());
        let mut optimizer = plan.optimizer.build(parameters.clone(), |name| model.decays(name))?;
        if plan.zero_classifier_every > 1 {
            let parameters = model.trainable();
            let of_classifier =
                |name: &str| name.strip_prefix(model.classifier()).is_some_and(|rest| rest.starts_with('.'));
            let classifier: Vec<_> = parameters.into_iter().filter(|(name, _)| of_classifier(name)).collect();
            optimizer = Box::new(Accumulating::new(optimizer, &classifier, plan.zero_classifier_every)?);
        }
        let mut counters = Counters { stage: plan.name.to_owned(), log, ..Counters::default() };
        let mut best = Tensors::new();
        let mut average = model.parameters().named()?;
        if let Some((saved, weights)) = run.folder.checkpoints().in_progress(plan.name, &run.device)? {
            model.parameters().load(&saved.model)?;
            optimizer.load_state(&saved.optimizer)?;
            objective.load_state(&saved.objective)?;
            best = weights;
            average = saved.average;
            counters = saved.counters;
        }
        Ok(Self {
            run,
            plan,
            model,
            parameters,
            optimizer,
            log: run.folder.log(counters.log)?,
            duration_before: counters.duration_s,
            counters,
            average: Average::new(plan.averaging, average),
            best,
            start: Instant::now(),
        })
    }

    fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    fn mean_loss(&self) -> f64 {
        self.counters.loss_sum / self.counters.loss_count.max(1) as f64
    }

    fn epoch(&self) -> f64 {
        self.counters.step as f64 / self.plan.steps_per_epoch
    }

    fn learning_rate(&self, step: u64) -> f64 {
        self.plan.optimizer.learning_rate * self.plan.optimizer.schedule(self.plan.steps).factor(step)
    }

    /// Take one optimiser step: the one way from gradients to parameters.
    fn update(&mut self, step: &StepSum) -> Result<()> {
        let (name, number) = (self.plan.name, self.counters.step + 1);
        if !step.loss.is_finite() {
            bail!(
                "the loss is {} at step {number} of stage `{name}`\n  hint: lower `optimizer.learning_rate`, or set `optimizer.clip_norm`",
                step.loss
            );
        }
        let mut gradients =
            step.gradients.clone().with_context(|| format!("step {number} of stage `{name}` has no batch"))?;
        if !gradients.all_finite()? {
            bail!(
                "a gradient is not finite at step {number} of stage `{name}` (loss {})\n  hint: lower `optimizer.learning_rate`, or set `optimizer.clip_norm`",
                step.loss
            );
        }
        if self.plan.optimizer.clip_norm.is_finite() {
            gradients.clip(self.plan.optimizer.clip_norm)?;
        }
        self.optimizer.step(&gradients, self.learning_rate(self.counters.step))?;
        self.counters.step = number;
        if let Some(average) = &mut self.average {
            average.update(self.model, number)?;
        }
        self.counters.loss_sum += step.loss;
        self.counters.loss_count += 1;
        Ok(())
    }

    /// Evaluate on validation, log, keep the best weights, save.
    fn evaluate<O: Objective>(&mut self, objective: &O, progress: &mut Progress) -> Result<()> {
        let validation = &self.run.dataset.validation;
        let predictions = self.predict(validation)?;
        let evaluation = evaluation(validation, &predictions.classes)?;
        let (step, epoch, loss) = (self.counters.step, self.epoch(), self.mean_loss());
        let average = evaluation.average().accuracy().unwrap_or(0.0);
        let worst_group = evaluation.worst_group().and_then(|(_, worst)| worst.accuracy());
        let line = MetricLine {
            stage: self.plan.name.to_owned(),
            epoch,
            step,
            split: "train".to_owned(),
            loss: Some(loss),
            learning_rate: Some(self.learning_rate(step - 1)),
            average_accuracy: None,
            worst_group_accuracy: None,
            worst_class_accuracy: None,
        };
        self.log.append(&line)?;
        self.log.append(&MetricLine {
            split: "val".to_owned(),
            loss: None,
            learning_rate: None,
            average_accuracy: Some(average),
            worst_group_accuracy: worst_group,
            worst_class_accuracy: evaluation.worst_class().and_then(|(_, worst)| worst.accuracy()),
            ..line
        })?;
        let worst = worst_group.map_or("-".to_owned(), |worst| format!("{:.1} %", 100.0 * worst));
        let figures = format!("validation worst group {worst}, average {:.1} %", 100.0 * average);
        progress.evaluated(epoch, step, loss, &figures);
        if let Some(class) = evaluation.only_prediction().and_then(|class| self.run.dataset.classes.get(class as usize))
        {
            let stage = self.plan.name;
            progress.note(&format!(
                "warning: stage `{stage}` predicts `{class}` for every validation sample at step {step}"
            ));
        }
        let value = self.run.selection.score(&evaluation);
        if self.counters.best.as_ref().is_none_or(|best| (value, average) > (best.selected.value, best.average)) {
            let metric = self.run.selection.metric().to_owned();
            let selected = Selected { stage: self.plan.name.to_owned(), epoch, step, metric, value };
            let best = Best { selected, average };
            self.best = match &self.average {
                Some(average) => average.weights().clone(),
                None => self.model.parameters().named()?,
            };
            self.run.folder.checkpoints().save_best(&best, &self.best)?;
            self.counters.best = Some(best);
        }
        (self.counters.loss_sum, self.counters.loss_count) = (0.0, 0);
        self.save(objective)
    }

    /// The answers of the weights that are judged: the averaged ones where the stage keeps an average.
    fn predict(&self, split: &Arc<Split>) -> Result<Predictions> {
        let Some(average) = &self.average else { return predict(self.model, split, View::Centre, &self.run.device) };
        let trained = self.model.parameters().named()?;
        self.model.parameters().load(average.weights())?;
        let predictions = predict(self.model, split, View::Centre, &self.run.device)?;
        self.model.parameters().load(&trained)?;
        Ok(predictions)
    }

    fn duration(&self) -> f64 {
        self.duration_before + self.start.elapsed().as_secs_f64()
    }

    fn save<O: Objective>(&mut self, objective: &O) -> Result<()> {
        self.counters.log = self.log.sync()?;
        self.counters.duration_s = self.duration();
        self.run.folder.checkpoints().save_in_progress(&InProgress {
            counters: self.counters.clone(),
            model: self.model.parameters().named()?,
            average: self.average.as_ref().map(|average| average.weights().clone()).unwrap_or_default(),
            optimizer: self.optimizer.state()?,
            objective: objective.state()?,
        })
    }

    fn end<O: Objective>(self, objective: &O) -> Result<Outcome> {
        let best =
            self.counters.best.clone().with_context(|| format!("stage `{}` was never evaluated", self.plan.name))?;
        let last = self.model.parameters().named()?;
        self.model.parameters().load(&self.best)?;
        let (duration_s, log) = (self.duration(), self.counters.log);
        Ok(Outcome { last, selected: self.best, objective: objective.state()?, best, duration_s, log })
    }
}
