//! Methods: one file each, and the registry of all of them.
//!
//! A method turns what a [`Trainer`] has into trained stages; the last one is what the run reports. Which labels it uses is data
//! ([`MethodInfo`]), printed beside every figure.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnc_base::seeds::Seeds;
use cnc_data::{Dataset, Inputs};
use cnc_models::{Mode, Model, Registry};
use toml::Table;

use crate::config::selection::Selection;
use crate::error::UsageError;
use crate::training::{TrainedStage, Trainer};
use cnc_base::names::did_you_mean;

pub(crate) mod afr;
pub(crate) mod cnc;
pub(crate) mod cvar_dro;
pub(crate) mod dfr;
pub(crate) mod dpe;
pub(crate) mod eiil;
pub(crate) mod erm;
mod errors;
pub(crate) mod group_dro;
pub(crate) mod jtt;
pub(crate) mod lff;
mod needs;
pub(crate) mod reweighted;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;
pub(crate) mod xrm;

/// A method with its settings checked.
pub trait Method {
    /// Run all stages; the last one is the result.
    ///
    /// # Errors
    /// When a stage cannot be trained.
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>>;

    /// Refuse data that it could not be finished on, before anything trains. The seeds are those of the run.
    ///
    /// # Errors
    /// When a later stage would have nothing to be fitted to.
    fn check(&self, _dataset: &Dataset, _seeds: Seeds) -> Result<()> {
        Ok(())
    }

    /// Whether it goes on from a plain model's encoder as it is, so that another run's can take its place.
    fn refits(&self) -> bool {
        false
    }

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

/// The label budget of a run that sees no group label, neither in training nor for selection.
pub(crate) const NO_LABELS: &str = "no group labels anywhere";

/// What is known of a method without running it.
#[derive(Debug, Clone, Copy)]
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
    /// Its settings with their defaults, as TOML: what its table in the general recipe would hold. Empty for a method that has
    /// one there.
    pub settings: &'static str,
    /// Check the settings and make the method.
    pub build: fn(&Table) -> Result<Box<dyn Method>, UsageError>,
}

impl MethodInfo {
    /// Whether a plain model is trained first, whose errors say what is hard.
    #[must_use]
    pub(crate) fn has_plain_model(&self) -> bool {
        self.stages.len() > 1
    }

    /// Which group labels a run with this selection rule uses, and what for.
    #[must_use]
    pub(crate) fn label_budget(&self, selection: Selection) -> &'static str {
        match (self.groups, selection.uses_groups()) {
            (GroupLabels::None, false) => NO_LABELS,
            (GroupLabels::None, true) => "no group labels in training; validation groups for selection",
            (GroupLabels::Training, false) => "training groups",
            (GroupLabels::Training, true) => "training groups; validation groups for selection",
            (GroupLabels::Validation, false) => "validation groups, which are fitted on",
            (GroupLabels::Validation, true) => "validation groups, which are fitted on, and for selection",
            (GroupLabels::ValidationClasses, false) => "no group labels anywhere; fitted on the validation split",
            (GroupLabels::ValidationClasses, true) => {
                "no group labels in training; fitted on the validation split, whose groups are for selection"
            }
        }
    }
}

/// The methods that are built in.
pub(crate) const METHODS: &[MethodInfo] = &[
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
    reweighted::SUBY,
    xrm::INFO,
    dfr::INFO,
    afr::INFO,
    dpe::INFO,
];

/// The methods that a program knows: those that are built in, and its own.
#[derive(Debug, Clone)]
pub(crate) struct Methods(Vec<MethodInfo>);

impl Default for Methods {
    fn default() -> Self {
        Self(METHODS.to_vec())
    }
}

impl Methods {
    /// Add a method, in the place of one that has its name.
    pub(crate) fn register(&mut self, info: MethodInfo) {
        self.0.retain(|known| known.name != info.name);
        self.0.push(info);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MethodInfo> {
        self.0.iter()
    }

    /// The method of that name.
    ///
    /// # Errors
    /// When there is none; the nearest is named.
    pub(crate) fn find(&self, name: &str) -> Result<MethodInfo, UsageError> {
        self.0.iter().find(|method| method.name == name).copied().ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|method| method.name).collect();
            let hint = did_you_mean(name, names.iter().copied());
            UsageError(format!("unknown method `{name}`{hint}\n  methods: {}", names.join(", ")))
        })
    }
}

/// The methods and models that a program knows.
#[derive(Clone)]
pub(crate) struct Known {
    /// The methods.
    pub(crate) methods: Methods,
    /// The models.
    pub(crate) models: Registry,
}

impl Default for Known {
    /// Those that are built in.
    fn default() -> Self {
        Self { methods: Methods::default(), models: Registry::builtin() }
    }
}

/// Logits `(batch, classes)` of a batch's inputs, computed on a device.
///
/// # Errors
/// When the model does not take the inputs.
pub fn logits(model: &dyn Model, inputs: Inputs, mode: Mode, device: &Device) -> Result<Tensor> {
    let representations = model.encode(&inputs.on_device(device)?, mode)?;
    Ok(model.classify(&representations, mode)?)
}
