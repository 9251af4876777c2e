#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod cli;
mod compare;
mod config;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod init;
mod inspect;
mod methods;
mod predict;
mod record;
mod report;
mod run;
mod training;

pub use cnc_base::seeds::Seeds;

pub use config::recipe::checked;
pub use config::selection::Selection;
pub use config::settings::TrainingSettings;
pub use error::{Interrupted, UsageError};
pub use event::{Evaluated, Event};
pub use methods::erm::first_stage;
pub use methods::{GroupLabels, Method, MethodInfo, logits};
pub use predict::{Input, Prediction, Predictor, Unreadable};
pub use record::Results;
pub use run::start::Run;
pub use training::batches::{Batches, Order};
pub use training::groups::training_groups;
pub use training::objective::{Objective, Tensors};
pub use training::plan::StagePlan;
pub use training::results::{GroupResult, Selected, SplitResult, StageResult, TrainingErrors};
pub use training::stage::TrainedStage;
pub use training::trainer::Trainer;
