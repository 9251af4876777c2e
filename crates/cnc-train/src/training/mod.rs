//! The loop, and what a method has at hand to run it.
//!
//! A method is written against [`Trainer`]: the data, fresh models, seeds, and [`Trainer::stage`], which trains a model on an
//! [`Objective`] from its checkpoint to its end. The loop itself, [`train`], takes a training split, an evaluator and what
//! listens to its [`Event`]s; it knows no folder. What is kept of a stage goes through [`Keep`]; nothing here reads back.

pub(crate) mod averaging;
pub(crate) mod batches;
pub(crate) mod beside;
pub(crate) mod evaluate;
pub(crate) mod features;
pub(crate) mod groups;
pub(crate) mod keep;
pub(crate) mod objective;
pub(crate) mod plan;
pub(crate) mod predictions;
pub(crate) mod results;
pub(crate) mod stage;
pub(crate) mod state;
pub(crate) mod train;
pub(crate) mod trainer;

pub(crate) use crate::event::{Evaluated, Event, Listener};
pub(crate) use batches::{Batches, Order};
pub(crate) use objective::{Objective, Tensors};
pub(crate) use plan::StagePlan;
pub(crate) use results::{GroupResult, Selected, SplitResult, StageResult, TrainingErrors};
pub(crate) use stage::TrainedStage;
pub(crate) use trainer::Trainer;
