//! Models by name.

use candle_core::Device;

use crate::error::{Error, Result};
use crate::lenet::{self, LeNet};
use crate::model::Model;
use crate::resnet::{RESNET18, RESNET34, RESNET50, ResNet};

type Constructor = fn(usize, u64, &Device) -> Result<Box<dyn Model>>;

/// One line a model.
const MODELS: [(&str, Constructor); 4] = [
    (lenet::NAME, |classes, seed, device| Ok(Box::new(LeNet::new(classes, seed, device)?))),
    (RESNET18.name, |classes, seed, device| Ok(Box::new(ResNet::resnet18(classes, seed, device)?))),
    (RESNET34.name, |classes, seed, device| Ok(Box::new(ResNet::resnet34(classes, seed, device)?))),
    (RESNET50.name, |classes, seed, device| Ok(Box::new(ResNet::resnet50(classes, seed, device)?))),
];

const NAMES: [&str; MODELS.len()] = {
    let mut names = [""; MODELS.len()];
    let mut index = 0;
    while index < MODELS.len() {
        names[index] = MODELS[index].0;
        index += 1;
    }
    names
};

/// The names that [`build`] knows.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// A model with fresh weights, drawn under `seed`.
///
/// # Errors
/// [`Error::UnknownModel`] names the nearest valid name and all of them; [`Error::TooFewClasses`] for less than two
/// classes.
pub fn build(name: &str, classes: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>> {
    match MODELS.iter().find(|(known, _)| *known == name) {
        Some((_, constructor)) => constructor(classes, seed, device),
        None => Err(Error::UnknownModel { name: name.to_owned(), nearest: nearest(name), known: &NAMES }),
    }
}

fn nearest(name: &str) -> &'static str {
    let name = name.to_lowercase();
    NAMES.iter().copied().min_by_key(|known| strsim::damerau_levenshtein(&name, known)).unwrap_or_default()
}
