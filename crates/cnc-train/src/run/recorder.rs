//! Keeps a run's stages in its folder: checkpoints, and the log that goes with them.

use std::cell::{Cell, RefCell};

use anyhow::Result;
use candle_core::Device;

use super::folder::RunFolder;
use super::log::{Log, LogLengths};
use crate::record::MetricLine;
use crate::training::keep::Keep;
use crate::training::state::{Best, Finished, InProgress};
use crate::training::{Evaluated, Event, Tensors};

/// Keeps a run's stages in its folder.
pub(crate) struct Recorder {
    folder: RunFolder,
    log: RefCell<Option<Log>>,
    /// How long the log was when the last thing was kept: there the next stage begins.
    kept: Cell<LogLengths>,
}

impl Recorder {
    /// Keep stages in this folder.
    pub(crate) fn new(folder: RunFolder) -> Self {
        Self { folder, log: RefCell::new(None), kept: Cell::default() }
    }
}

impl Keep for Recorder {
    fn finished(&self, stage: &str, device: &Device) -> Result<Option<Finished>> {
        Ok(self.folder.checkpoints().finished(stage, device)?.map(|(finished, log)| {
            self.kept.set(log);
            finished
        }))
    }

    fn in_progress(&self, stage: &str, device: &Device) -> Result<Option<(InProgress, Tensors)>> {
        let found = self.folder.checkpoints().in_progress(stage, device)?.map(|(state, best, log)| {
            self.kept.set(log);
            (state, best)
        });
        *self.log.borrow_mut() = Some(self.folder.log(self.kept.get())?);
        Ok(found)
    }

    fn event(&self, event: &Event<'_>) -> Result<()> {
        if let (Event::Evaluated(figures), Some(log)) = (event, &mut *self.log.borrow_mut()) {
            for line in lines(figures) {
                log.append(&line)?;
            }
        }
        Ok(())
    }

    fn save_best(&self, best: &Best, weights: &Tensors) -> Result<()> {
        self.folder.checkpoints().save_best(best, weights)
    }

    fn save_alternative(&self, best: &Best, weights: &Tensors) -> Result<()> {
        self.folder.checkpoints().save_alternative(best, weights)
    }

    fn save(&self, state: &InProgress) -> Result<()> {
        if let Some(log) = &*self.log.borrow() {
            self.kept.set(log.sync()?);
        }
        self.folder.checkpoints().save_in_progress(state, self.kept.get())
    }

    fn save_finished(&self, stage: &Finished) -> Result<()> {
        self.folder.checkpoints().save_finished(stage, self.kept.get())
    }
}

/// A line of the training figures, and one of those on validation.
fn lines(figures: &Evaluated) -> [MetricLine; 2] {
    let training = MetricLine {
        stage: figures.stage.clone(),
        epoch: figures.epoch,
        step: figures.step,
        split: "train".to_owned(),
        loss: Some(figures.loss),
        learning_rate: Some(figures.learning_rate),
        average_accuracy: None,
        worst_group_accuracy: None,
        worst_class_accuracy: None,
    };
    let validation = MetricLine {
        split: "val".to_owned(),
        loss: None,
        learning_rate: None,
        average_accuracy: Some(figures.average_accuracy),
        worst_group_accuracy: figures.worst_group_accuracy,
        worst_class_accuracy: figures.worst_class_accuracy,
        ..training.clone()
    };
    [training, validation]
}
