//! The one training loop of all methods.
//!
//! A method says what a batch is, what the loss is and what happens between stages; the loop takes a training split, an
//! evaluator and listeners, and does the rest: loading ahead, gradients, the optimiser, evaluation, selection, interruption.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor, Var};
use cnc_data::{Draw, Split, prefetch};
use cnc_models::Model;
use cnc_nn::optim::{Gradients, Optimizer};

use super::averaging::Average;
use super::evaluate::Score;
use super::keep::Keep;
use super::objective::{Objective, Tensors};
use super::plan::{StagePlan, Taken};
use super::results::Selected;
use super::state::{Best, Counters, InProgress, Outcome};
use crate::config::selection::Selection;
use crate::error::Interrupted;
use crate::event::{Evaluated, Event};
use cnc_base::seeds::Seeds;

/// Batches that the loader may be ahead of the trainer.
const AHEAD: usize = 3;

/// What a stage is trained with.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The rows that batches are made of.
    pub(crate) split: &'a Arc<Split>,
    /// What the weights are worth, on data that they are not trained on.
    pub(crate) evaluator: &'a dyn Fn(&dyn Model) -> Result<Score>,
    /// Hears of everything that happens.
    pub(crate) listener: &'a (dyn Fn(&Event<'_>) + Send + Sync),
    /// Where the stage is kept.
    pub(crate) keep: &'a dyn Keep,
    /// For the draws within batches.
    pub(crate) seeds: Seeds,
    /// Set from outside: save and stop.
    pub(crate) stop: &'a AtomicBool,
}

/// A stage that was trained to its end.
pub(crate) struct Trained {
    /// Its weights.
    pub(crate) outcome: Outcome,
    /// What was selected.
    pub(crate) selected: Selected,
    /// What other rules would have selected.
    pub(crate) alternatives: Vec<Selected>,
    /// Samples that its batches had.
    pub(crate) samples: u64,
    /// Seconds of training.
    pub(crate) duration_s: f64,
}

/// Train a stage to its end, from where it was kept in `resumed`. The model ends with the selected weights.
///
/// # Errors
/// When a batch cannot be read, the loss or a gradient is not finite, the stage cannot be kept, or it was stopped.
pub(crate) fn train<O: Objective>(
    with: Surroundings<'_>,
    plan: &StagePlan<'_>,
    model: &dyn Model,
    objective: &mut O,
    resumed: Option<(InProgress, Tensors)>,
) -> Result<Trained> {
    let mut stage = Stage::start(with, plan, model, objective, resumed)?;
    stage.emit(Event::Started { title: plan.title, steps: plan.steps, step: stage.counters.step })?;
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
    let mut step = StepSum::default();
    for item in prefetch(Arc::clone(with.split), draws, AHEAD) {
        let (batch, part) = item?;
        let seed = with.seeds.at(stage.counters.step).at(part.index as u64).value();
        step.samples += batch.indices.len() as u64;
        let loss = objective.loss(model, batch, &part.tag, seed)?;
        step.add(&loss, part.of, &stage.parameters)?;
        if part.index + 1 < part.of {
            continue;
        }
        let done = std::mem::take(&mut step);
        stage.update(&done)?;
        stage.counters.samples += done.samples;
        let number = stage.counters.step;
        stage.emit(Event::Step { step: number, samples: done.samples, loss: stage.mean_loss() })?;
        if number.is_multiple_of(plan.evaluate_every) || number == plan.steps {
            stage.evaluate()?;
            stage.save(objective)?;
        }
        if with.stop.load(Ordering::Relaxed) {
            stage.save(objective)?;
            stage.emit(Event::Ended)?;
            return Err(Interrupted { stage: plan.name.to_owned(), step: number, repeat: false }.into());
        }
    }
    stage.emit(Event::Ended)?;
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
    with: Surroundings<'a>,
    plan: &'a StagePlan<'a>,
    model: &'a dyn Model,
    parameters: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
    clipped_apart: Option<&'static str>,
    counters: Counters,
    average: Option<Average>,
    best: Tensors,
    start: Instant,
    duration_before: f64,
}

impl<'a> Stage<'a> {
    fn start<O: Objective>(
        with: Surroundings<'a>,
        plan: &'a StagePlan<'a>,
        model: &'a dyn Model,
        objective: &mut O,
        resumed: Option<(InProgress, Tensors)>,
    ) -> Result<Self> {
        let mut parameters = model.trainable();
        parameters.extend(objective.further_parameters());
        let of_settings = plan.optimizer.build(parameters.clone(), |name| model.decays(name))?;
        let mut optimizer = objective.optimizer(model, of_settings)?;
        let mut counters = Counters { stage: plan.name.to_owned(), ..Counters::default() };
        let mut best = Tensors::new();
        let mut average = model.parameters().named()?;
        if let Some((saved, weights)) = resumed {
            model.parameters().load(&saved.model)?;
            optimizer.load_state(&saved.optimizer)?;
            objective.load_state(&saved.objective)?;
            best = weights;
            average = saved.average;
            counters = saved.counters;
        }
        Ok(Self {
            with,
            plan,
            model,
            parameters,
            optimizer,
            clipped_apart: objective.clipped_apart(model),
            duration_before: counters.duration_s,
            counters,
            average: Average::new(plan.averaging, average),
            best,
            start: Instant::now(),
        })
    }

    fn emit(&self, event: Event<'_>) -> Result<()> {
        self.with.keep.event(&event)?;
        (self.with.listener)(&event);
        Ok(())
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
            let most = self.plan.optimizer.clip_norm;
            match self.clipped_apart {
                None => gradients.clip(most)?,
                Some(prefix) => {
                    gradients.clip_part(|name| is_under(name, prefix), most)?;
                    gradients.clip_part(|name| !is_under(name, prefix), most)?
                }
            };
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

    /// Say what the weights are worth, and begin a new mean of the loss.
    fn evaluate(&mut self) -> Result<()> {
        let score = self.judged(self.with.evaluator)?;
        let (step, stage) = (self.counters.step, self.plan.name);
        self.emit(Event::Evaluated(&Evaluated {
            stage: stage.to_owned(),
            epoch: self.epoch(),
            step,
            loss: self.mean_loss(),
            learning_rate: self.learning_rate(step - 1),
            average_accuracy: score.average,
            worst_group_accuracy: score.worst_group,
            worst_class_accuracy: score.worst_class,
        }))?;
        if let Some(class) = &score.only_prediction {
            let warning =
                format!("warning: stage `{stage}` predicts `{class}` for every validation sample at step {step}");
            self.emit(Event::Note(&warning))?;
        }
        self.select(score)?;
        (self.counters.loss_sum, self.counters.loss_count) = (0.0, 0);
        Ok(())
    }

    /// Keep the weights if none before them have a better score, or if they are the last and those are taken.
    fn select(&mut self, score: Score) -> Result<()> {
        let Score { metric, value, average, others, .. } = score;
        for (rule, value) in others {
            self.keep_alternative(rule, value, average)?;
        }
        let is_taken = match self.plan.taken {
            Taken::Selected => {
                let before = self.counters.best.as_ref().map(|best| (best.selected.value, best.average));
                before.is_none_or(|before| replaces((value, average), before))
            }
            Taken::Last => self.counters.step == self.plan.steps,
        };
        if !is_taken {
            return Ok(());
        }
        let best = self.evaluated(metric, value, average);
        self.best = self.judged_weights()?;
        self.with.keep.save_best(&best, &self.best)?;
        self.counters.best = Some(best);
        Ok(())
    }

    /// Keep the weights for another rule than the run's, if none before them are better by it.
    fn keep_alternative(&mut self, rule: Selection, value: f64, average: f64) -> Result<()> {
        let metric = rule.metric();
        let place = self.counters.alternatives.iter().position(|best| best.selected.metric == metric);
        let before = place.and_then(|place| self.counters.alternatives.get(place));
        if before.is_some_and(|best| !replaces((value, average), (best.selected.value, best.average))) {
            return Ok(());
        }
        let best = self.evaluated(metric.to_owned(), value, average);
        self.with.keep.save_alternative(&best, &self.judged_weights()?)?;
        match place.and_then(|place| self.counters.alternatives.get_mut(place)) {
            Some(before) => *before = best,
            None => self.counters.alternatives.push(best),
        }
        Ok(())
    }

    /// The evaluation of this step by a metric.
    fn evaluated(&self, metric: String, value: f64, average: f64) -> Best {
        let (stage, step) = (self.plan.name.to_owned(), self.counters.step);
        Best { selected: Selected { stage, epoch: self.epoch(), step, metric, value }, average }
    }

    /// The weights that are judged: the averaged ones where the stage keeps an average.
    fn judged_weights(&self) -> Result<Tensors> {
        match &self.average {
            Some(average) => Ok(average.weights().clone()),
            None => Ok(self.model.parameters().named()?),
        }
    }

    /// What is said of the weights that are judged: the averaged ones where the stage keeps an average.
    fn judged(&self, judge: &dyn Fn(&dyn Model) -> Result<Score>) -> Result<Score> {
        let Some(average) = &self.average else { return judge(self.model) };
        let trained = self.model.parameters().named()?;
        self.model.parameters().load(average.weights())?;
        let score = judge(self.model)?;
        self.model.parameters().load(&trained)?;
        Ok(score)
    }

    fn duration(&self) -> f64 {
        self.duration_before + self.start.elapsed().as_secs_f64()
    }

    fn save<O: Objective>(&mut self, objective: &O) -> Result<()> {
        self.counters.duration_s = self.duration();
        self.with.keep.save(&InProgress {
            counters: self.counters.clone(),
            model: self.model.parameters().named()?,
            average: self.average.as_ref().map(|average| average.weights().clone()).unwrap_or_default(),
            optimizer: self.optimizer.state()?,
            objective: objective.state()?,
        })
    }

    fn end<O: Objective>(self, objective: &O) -> Result<Trained> {
        let best =
            self.counters.best.clone().with_context(|| format!("stage `{}` was never evaluated", self.plan.name))?;
        let last = match self.plan.taken {
            Taken::Selected => self.model.parameters().named()?,
            Taken::Last => self.best.clone(),
        };
        self.model.parameters().load(&self.best)?;
        let duration_s = self.duration();
        let outcome = Outcome { last, selected: self.best, objective: objective.state()? };
        let alternatives = self.counters.alternatives.into_iter().map(|best| best.selected).collect();
        Ok(Trained { outcome, selected: best.selected, alternatives, samples: self.counters.samples, duration_s })
    }
}

/// Whether a parameter is of the part of a model with this prefix.
pub(crate) fn is_under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a checkpoint replaces the best one before it, each with the value of the metric and its plain average. Of equal
/// ones the later counts. Where the metric is 0 the average says nothing: the checkpoint that has learnt least, and so is least
/// sure of what is easy, has the highest.
pub(crate) fn replaces((value, average): (f64, f64), before: (f64, f64)) -> bool {
    if value == 0.0 && before.0 == 0.0 { true } else { (value, average) >= before }
}

#[cfg(test)]
mod tests {
    use super::replaces;

    #[test]
    fn of_checkpoints_with_nothing_right_in_the_worst_group_the_last_counts_and_of_others_the_better_average() {
        assert!(replaces((0.0, 0.2), (0.0, 0.4)), "an untrained model must not win by its average");
        assert!(!replaces((0.5, 0.7), (0.5, 0.8)) && replaces((0.5, 0.8), (0.5, 0.8)));
        assert!(!replaces((0.0, 0.9), (0.1, 0.3)) && replaces((0.6, 0.1), (0.5, 0.9)));
    }
}
