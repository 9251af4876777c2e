//! Methods: one file each, and the registry of all of them.
//!
//! A method turns a [`Run`] into trained stages; the last one is what the run reports. Which labels it uses is data
//! ([`MethodInfo`]), printed beside every figure.

use anyhow::Result;
use toml::Table;

use crate::error::{UsageError, did_you_mean};
use crate::run::{Run, TrainedStage};
use crate::selection::Selection;

pub mod cnc;
pub mod erm;

/// A method with its settings checked.
pub trait Method {
    /// Run all stages; the last one is the result.
    ///
    /// # Errors
    /// When a stage cannot be trained.
    fn run(&self, run: &Run) -> Result<Vec<TrainedStage>>;
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
    /// Whether it is told the group of training samples.
    pub training_groups: bool,
    /// Check the settings and make the method.
    pub build: fn(&Table) -> Result<Box<dyn Method>, UsageError>,
}

impl MethodInfo {
    /// Which group labels a run with this selection rule uses, and what for.
    #[must_use]
    pub fn label_budget(&self, selection: Selection) -> &'static str {
        match (self.training_groups, selection.uses_groups()) {
            (false, false) => "no group labels",
            (false, true) => "no group labels in training; validation groups for selection",
            (true, false) => "training groups",
            (true, true) => "training groups; validation groups for selection",
        }
    }
}

/// All methods.
pub const METHODS: &[MethodInfo] = &[cnc::INFO, erm::INFO];

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
