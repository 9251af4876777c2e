//! Methods: one file each, and the registry of all of them.
//!
//! A method turns a [`Run`] into trained stages; the last one is what the run reports. Which labels it uses is data
//! ([`MethodInfo`]), printed beside every figure.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_data::Inputs;
use cnc_models::{Mode, Model};
use toml::Table;

use crate::error::{UsageError, did_you_mean};
use crate::inputs::to_model;
use crate::run::{Run, TrainedStage};
use crate::selection::Selection;

pub mod afr;
mod batches;
pub mod cnc;
pub mod cvar_dro;
pub mod dfr;
pub mod dpe;
pub mod eiil;
pub mod erm;
mod errors;
pub mod group_dro;
mod groups;
pub mod jtt;
pub mod lff;
pub mod reweighted;
pub mod xrm;

/// A method with its settings checked.
pub trait Method {
    /// Run all stages; the last one is the result.
    ///
    /// # Errors
    /// When a stage cannot be trained.
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>>;

    /// What a run with these settings saves, out of a model by the run's name for it: another one where the method puts
    /// something else in the place of the classifier.
    ///
    /// # Errors
    /// When there is no memory for it.
    fn model(&self, model: Box<dyn Model>) -> Result<Box<dyn Model>> {
        Ok(model)
    }
}

/// Which group labels a method is told, apart from those that select a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupLabels {
    /// None.
    None,
    /// Those of the training split.
    Training,
    /// Those of the validation split, which it is fitted on.
    Validation,
    /// None, but it is fitted on the validation split and its classes.
    ValidationClasses,
}

/// What is known of a method without running it.
#[derive(Debug)]
pub struct MethodInfo {
    /// Name on the command line.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// Names of its stages.
    pub stages: &'static [&'static str],
    /// Which group labels it is told.
    pub groups: GroupLabels,
    /// Check the settings and make the method.
    pub build: fn(&Table) -> Result<Box<dyn Method>, UsageError>,
}

impl MethodInfo {
    /// Which group labels a run with this selection rule uses, and what for.
    #[must_use]
    pub fn label_budget(&self, selection: Selection) -> &'static str {
        match (self.groups, selection.uses_groups()) {
            (GroupLabels::None, false) => "no group labels",
            (GroupLabels::None, true) => "no group labels in training; validation groups for selection",
            (GroupLabels::Training, false) => "training groups",
            (GroupLabels::Training, true) => "training groups; validation groups for selection",
            (GroupLabels::Validation, false) => "validation groups, which are fitted on",
            (GroupLabels::Validation, true) => "validation groups, which are fitted on, and for selection",
            (GroupLabels::ValidationClasses, false) => "no group labels; fitted on the validation split",
            (GroupLabels::ValidationClasses, true) => {
                "no group labels in training; fitted on the validation split, whose groups are for selection"
            }
        }
    }
}

/// All methods.
pub const METHODS: &[MethodInfo] = &[
    cnc::INFO,
    erm::INFO,
    group_dro::INFO,
    eiil::INFO,
    jtt::INFO,
    lff::INFO,
    cvar_dro::INFO,
    reweighted::RWG,
    reweighted::SUBG,
    reweighted::RWY,
    xrm::INFO,
    dfr::INFO,
    afr::INFO,
    dpe::INFO,
];

/// The method of that name.
///
/// # Errors
/// When there is none; the nearest is named.
pub fn find(name: &str) -> Result<&'static MethodInfo, UsageError> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        let hint = did_you_mean(name, names.iter().copied());
        UsageError(format!("unknown method `{name}`{hint}\n  methods: {}", names.join(", ")))
    })
}

/// Logits `(batch, classes)` of a batch's inputs.
fn logits(model: &dyn Model, inputs: Inputs, mode: Mode, device: &Device) -> Result<Tensor> {
    let representations = model.encode(&to_model(inputs, device)?, mode)?;
    Ok(model.classify(&representations, mode)?)
}
