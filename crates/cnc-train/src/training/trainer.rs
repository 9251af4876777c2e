//! What a method is handed: the data, fresh models, seeds, and the loop that trains a stage.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cnc_core::evaluation::{Alignment, Lengths};
use cnc_core::methods::environment_groups;
use cnc_core::{Evaluation, Groups};
use cnc_data::Dataset;
use cnc_models::Model;

use super::batches::{Batches, Order};
use super::evaluate::{Score, View, evaluation, groups_of, predict, summarise};
use super::keep::Keep;
use super::objective::Objective;
use super::plan::{StagePlan, Taken};
use super::predictions::Predictions;
use super::results::{Selected, StageResult};
use super::stage::{Encoded, Fit, TrainedStage};
use super::state::{Finished, Outcome};
use super::train::{Surroundings, Trained, train};
use crate::config::network::Network;
use crate::config::selection::Selection;
use crate::config::settings::TrainingSettings;
use crate::event::{Event, Listener};
use cnc_base::seeds::Seeds;

/// What a method trains with. All of its stages go through [`stage`](Self::stage).
pub struct Trainer {
    /// The data.
    pub dataset: Arc<Dataset>,
    /// Where tensors live.
    pub device: Device,
    /// The seeds of the run.
    pub seeds: Seeds,
    /// Which checkpoint counts.
    pub selection: Selection,
    /// `--limit`, where one was given: a smoke run.
    pub(crate) limit: Option<usize>,
    /// What models are built from, and start from.
    pub(crate) network: Network,
    /// Title of the method whose model is there already in the place of a first stage.
    pub(crate) encoder: Option<String>,
    /// Whether the reader was told that a last batch of one sample is put into the one before.
    pub(crate) told_of_merging: Cell<bool>,
    /// The slice of each validation row, once a plain model has said what it gets wrong.
    pub(crate) slices: RefCell<Option<Groups>>,
    /// Where stages are kept.
    pub(crate) keep: Box<dyn Keep>,
    /// Hears of everything that happens.
    pub(crate) listener: Listener,
    /// Set from outside: save and stop.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What is to be said of a model that says the same of every validation sample.
fn only_prediction(val: &Predictions, classes: &[String]) -> Option<String> {
    let (first, others) = val.classes.split_first()?;
    let class = classes.get(*first as usize).filter(|_| classes.len() > 1)?;
    let is_only = !others.is_empty() && others.iter().all(|other| other == first);
    is_only.then(|| format!("the model predicts `{class}` for every validation sample: it has learnt nothing of use"))
}

/// What the figures of a stage stand beside.
struct Figures<'a> {
    name: &'a str,
    title: &'a str,
    steps: u64,
    samples: u64,
    selected: &'a Selected,
}

impl Trainer {
    /// Say something to the reader, in a sentence.
    pub fn note(&self, text: &str) {
        (self.listener)(&Event::Note(text));
    }

    /// A fresh model for a stage: from the weights that the run was given, or drawn from its seed and the stage's name.
    ///
    /// # Errors
    /// When there is no such model, or the weights do not fit it.
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

    /// The class that a stage's model, as it is after its last step, predicts for each row of the training split. Which
    /// checkpoint of it is the best by group does not matter here, and needs group labels to know.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn predictions_on_training(&self, stage: &TrainedStage) -> Result<Vec<u32>> {
        Ok(predict(&*self.last_model(stage)?, &self.dataset.train, View::Centre, &self.device)?.classes)
    }

    /// Batches of training rows in an order, as the settings of a stage have them, drawn from the seeds of a purpose.
    #[must_use]
    pub fn batches(&self, order: Order, settings: &TrainingSettings, purpose: &str) -> Batches {
        let (split, seeds) = (Arc::clone(&self.dataset.train), self.seeds.purpose(purpose));
        let batches = Batches::new(split, order, settings.batch_size, seeds).shown(settings.views);
        if let Some(rows) = batches.merged().filter(|_| !self.told_of_merging.replace(true)) {
            self.note(&format!(
                "note: a last batch of one sample is put into the one before, which then has {rows}: every sample is seen"
            ));
        }
        batches
    }

    /// Train a stage and take its figures, or take both from its checkpoint when it is finished already.
    ///
    /// # Errors
    /// When a batch cannot be read, the loss or a gradient is not finite, a file cannot be written, or a signal stopped the
    /// run.
    pub fn stage<O: Objective>(&self, plan: &StagePlan<'_>, objective: &mut O) -> Result<TrainedStage> {
        let model = self.fresh_model(plan.name)?;
        if let Some(title) = self.encoder.as_ref().filter(|_| plan.taken == Taken::Last) {
            return self.as_it_is(model, title);
        }
        if let Some(Finished { result, outcome }) = self.keep.finished(plan.name, &self.device)? {
            model.parameters().load(&outcome.selected)?;
            let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
            if plan.taken == Taken::Last {
                self.slice_by(&predict(&*model, &self.dataset.validation, View::Centre, &self.device)?.classes)?;
            }
            objective.load_state(&outcome.objective)?;
            return Ok(TrainedStage { model, last: outcome.last, result, test, training: None });
        }
        let Trained { outcome, selected, alternatives, samples, duration_s } =
            self.trained(plan, &*model, objective)?;
        let start = Instant::now();
        let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
        let val = predict(&*model, &self.dataset.validation, View::Centre, &self.device)?;
        if plan.taken == Taken::Last {
            self.slice_by(&val.classes)?;
        }
        let figures = Figures { name: plan.name, title: plan.title, steps: plan.steps, samples, selected: &selected };
        let mut result = self.figures(&figures, &*model, &val, &test)?;
        result.duration_s = duration_s + start.elapsed().as_secs_f64();
        result.alternatives = alternatives;
        let finished = Finished { result, outcome };
        self.keep.save_finished(&finished)?;
        let Finished { result, outcome: Outcome { last, .. } } = finished;
        Ok(TrainedStage { model, last, result, test, training: None })
    }

    /// The model that a run begins with as its first stage, which was trained elsewhere.
    fn as_it_is(&self, model: Box<dyn Model>, title: &str) -> Result<TrainedStage> {
        let start = Instant::now();
        // Nothing is in progress, but the run's log begins here.
        self.keep.in_progress("encoder", &self.device)?;
        let test = predict(&*model, &self.dataset.test, View::Centre, &self.device)?;
        let val = predict(&*model, &self.dataset.validation, View::Centre, &self.device)?;
        self.slice_by(&val.classes)?;
        let value = evaluation(&self.dataset.validation, &val.classes)?.average().accuracy().unwrap_or(0.0);
        let metric = Selection::Average.metric().to_owned();
        let selected = Selected { stage: "encoder".to_owned(), epoch: 0.0, step: 0, metric, value };
        let title = format!("{title}, the encoder");
        let figures = Figures { name: "encoder", title: &title, steps: 0, samples: 0, selected: &selected };
        let mut result = self.figures(&figures, &*model, &val, &test)?;
        result.duration_s = start.elapsed().as_secs_f64();
        let last = model.parameters().named()?;
        Ok(TrainedStage { model, last, result, test, training: None })
    }

    fn trained<O: Objective>(&self, plan: &StagePlan<'_>, model: &dyn Model, objective: &mut O) -> Result<Trained> {
        let validation = &self.dataset.validation;
        let evaluator = |model: &dyn Model| {
            let predictions = predict(model, validation, View::Centre, &self.device)?;
            let evaluation = evaluation(validation, &predictions.classes)?;
            let (value, others) = match plan.taken {
                Taken::Selected => {
                    (self.value(&predictions.classes)?, self.by_other_rules(&evaluation, &predictions.classes)?)
                }
                // What selects is not known yet, and nothing is selected here.
                Taken::Last => (evaluation.average().accuracy().unwrap_or(0.0), Vec::new()),
            };
            Ok(Score::new(&evaluation, (self.metric(plan.taken), value), others, &self.dataset.classes))
        };
        let with = Surroundings {
            split: &self.dataset.train,
            evaluator: &evaluator,
            listener: &*self.listener,
            keep: &*self.keep,
            seeds: self.seeds.purpose(&format!("{}/dropout", plan.name)),
            stop: &self.stop,
        };
        let resumed = self.keep.in_progress(plan.name, &self.device)?;
        train(with, plan, model, objective, resumed)
    }

    /// Take the figures of a stage that was fitted at once to what an encoder makes of the data. It has no checkpoint: to
    /// fit it again gives the same bits.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub(crate) fn fitted(&self, fit: Fit, model: Box<dyn Model>, encoded: Encoded<'_>) -> Result<TrainedStage> {
        let val = encoded.validation.answered_by(&*model, &self.device)?;
        let test = encoded.test.answered_by(&*model, &self.device)?;
        let metric = self.selection.metric().to_owned();
        let value = match fit.value {
            Some(value) => value,
            None => self.value(&val.classes)?,
        };
        let selected = Selected { stage: fit.name.to_owned(), epoch: 0.0, step: fit.step, metric, value };
        let figures = Figures { name: fit.name, title: fit.title, steps: fit.step, samples: 0, selected: &selected };
        let mut result = self.figures(&figures, &*model, &val, &test)?;
        result.duration_s = fit.start.elapsed().as_secs_f64();
        result.notes.extend(fit.notes);
        let last = model.parameters().named()?;
        Ok(TrainedStage { model, last, result, test, training: None })
    }

    /// What the run's rule says of predictions on the validation split.
    ///
    /// # Errors
    /// When there is not one a row, or the rule is of slices and no plain model has made them.
    pub(crate) fn value(&self, predictions: &[u32]) -> Result<f64> {
        Ok(self.selection.score(&Evaluation::new(
            self.dataset.validation.labels(),
            predictions,
            &self.judged_groups()?,
        )?))
    }

    /// The groups of the validation split that the run's rule looks at.
    ///
    /// # Errors
    /// When the rule is of slices and no plain model has made them.
    pub(crate) fn judged_groups(&self) -> Result<Groups> {
        let validation = &self.dataset.validation;
        if self.selection != Selection::WorstSlice {
            return Ok(groups_of(validation.groups(), validation.len())?);
        }
        self.slices.borrow().clone().context("no plain model has been trained yet, whose errors make the slices")
    }

    /// What the rules say that are not the run's, as far as their groups and slices are known.
    fn by_other_rules(&self, evaluation: &Evaluation, predictions: &[u32]) -> Result<Vec<(Selection, f64)>> {
        let slices = self.slices.borrow();
        let mut values = Vec::new();
        for rule in Selection::ALL.into_iter().filter(|rule| *rule != self.selection) {
            match (rule, &*slices) {
                (Selection::WorstGroup, _) if self.dataset.attributes.is_empty() => {}
                (Selection::WorstSlice, None) => {}
                (Selection::WorstSlice, Some(slices)) => {
                    let sliced = Evaluation::new(self.dataset.validation.labels(), predictions, slices)?;
                    values.push((rule, rule.score(&sliced)));
                }
                _ => values.push((rule, rule.score(evaluation))),
            }
        }
        Ok(values)
    }

    /// Slice the validation split by what a plain model, or several, predict: class, and whether that is wrong.
    ///
    /// # Errors
    /// When there is not one prediction a row.
    pub(crate) fn slice_by(&self, predictions: &[u32]) -> Result<()> {
        let labels = self.dataset.validation.labels();
        let wrong: Vec<bool> = predictions.iter().zip(labels).map(|(predicted, label)| predicted != label).collect();
        let slices = environment_groups(labels, &wrong)?;
        *self.slices.borrow_mut() = Some(Groups::of_rows(&slices, 2 * self.dataset.classes.len())?);
        Ok(())
    }

    fn metric(&self, taken: Taken) -> &'static str {
        if taken == Taken::Last { Selection::Average.metric() } else { self.selection.metric() }
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
            Some(summarise(&self.dataset, &self.dataset.test, &predictions)?)
        } else {
            None
        };
        Ok(StageResult {
            name: stage.name.to_owned(),
            title: stage.title.to_owned(),
            steps: stage.steps,
            samples: stage.samples,
            duration_s: 0.0,
            selected: stage.selected.clone(),
            alternatives: Vec::new(),
            training_errors: None,
            failure: None,
            notes: only_prediction(val, &self.dataset.classes).into_iter().collect(),
            val: summarise(&self.dataset, &self.dataset.validation, val)?,
            test: summarise(&self.dataset, &self.dataset.test, test)?,
            test_random_crop,
            alignment_loss: self.alignment(test)?,
        })
    }

    /// Mean distance between test representations, scaled to length 1, of the same class and different attribute.
    fn alignment(&self, test: &Predictions) -> Result<Option<f64>> {
        let split = &self.dataset.test;
        let representations = Tensor::from_slice(&test.representations, (split.len(), test.dim), &Device::Cpu)?;
        let classes: Vec<u32> = split.training_groups().iter().map(|group| group.class).collect();
        let groups = groups_of(split.training_groups(), split.len())?;
        Ok(Alignment::measure(&representations, &groups, &classes, Lengths::Unit)?.mean())
    }
}
