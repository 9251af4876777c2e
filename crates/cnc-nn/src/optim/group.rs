//! Parameters that are trained alike.

use std::collections::BTreeSet;

use candle_core::{Tensor, Var};

use super::gradients::Gradients;
use crate::error::{Error, Result};

/// Parameters that share their weight decay and their learning rate, for example everything but biases, or the
/// classifier apart from a pretrained encoder.
#[derive(Debug, Clone)]
pub struct ParameterGroup {
    /// Name and variable of each.
    pub parameters: Vec<(String, Var)>,
    /// Strength of the pull towards zero.
    pub weight_decay: f64,
    /// What the learning rate of a step is multiplied with.
    pub lr_scale: f64,
}

/// One parameter as an optimiser sees it.
pub(super) struct Slot {
    pub name: String,
    pub parameter: Var,
    pub weight_decay: f64,
    pub lr_scale: f64,
}

/// The parameters of all groups, each once.
pub(super) fn slots(groups: Vec<ParameterGroup>) -> Result<Vec<Slot>> {
    let mut names = BTreeSet::new();
    let mut slots = Vec::new();
    for ParameterGroup { parameters, weight_decay, lr_scale } in groups {
        require("weight decay", "0 or more", weight_decay, weight_decay >= 0.0)?;
        require("learning rate scale of a group", "0 or more", lr_scale, lr_scale >= 0.0)?;
        for (name, parameter) in parameters {
            if !names.insert(name.clone()) {
                return Err(Error::DuplicateParameter { name });
            }
            slots.push(Slot { name, parameter, weight_decay, lr_scale });
        }
    }
    Ok(slots)
}

/// The gradient of each slot, in their order; both sides must have the same names.
pub(super) fn pair<'a>(
    slots: impl ExactSizeIterator<Item = &'a Slot>,
    gradients: &'a Gradients,
) -> Result<Vec<&'a Tensor>> {
    let mut missing = Vec::new();
    let mut known = BTreeSet::new();
    let mut paired = Vec::with_capacity(slots.len());
    for Slot { name, parameter, .. } in slots {
        known.insert(name.as_str());
        match gradients.unscaled(name) {
            Some(gradient) if gradient.shape() == parameter.shape() => paired.push(gradient),
            Some(gradient) => {
                let (expected, found) = (parameter.dims().to_vec(), gradient.dims().to_vec());
                return Err(Error::GradientShape { name: name.clone(), expected, found });
            }
            None => missing.push(name.clone()),
        }
    }
    let unknown: Vec<String> = gradients.names().filter(|name| !known.contains(name)).map(str::to_owned).collect();
    match (missing.is_empty(), unknown.is_empty()) {
        (false, _) => Err(Error::MissingGradients { names: missing }),
        (true, false) => Err(Error::UnknownGradients { names: unknown }),
        (true, true) => Ok(paired),
    }
}

/// A finite option for which `holds`.
pub(super) fn require(option: &'static str, expected: &'static str, found: f64, holds: bool) -> Result<()> {
    if holds && found.is_finite() { Ok(()) } else { Err(Error::InvalidOption { option, expected, found }) }
}
