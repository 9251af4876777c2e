//! Models by name.

use candle_core::Device;

#[cfg(feature = "bert")]
use crate::bert::{self, Bert, TextOptions};
use crate::error::{Error, Result};
use crate::lenet::{self, LeNet};
use crate::model::Model;

/// How a model is built.
#[derive(Clone, Copy)]
enum Constructor {
    /// Its name says all.
    Images(fn(usize, u64, &Device) -> Result<Box<dyn Model>>),
    /// Its sizes are those of a checkpoint.
    #[cfg(feature = "bert")]
    Text(fn(usize, u64, &Device, &TextOptions) -> Result<Box<dyn Model>>),
}

/// One line a model.
const MODELS: &[(&str, Constructor)] = &[
    #[cfg(feature = "bert")]
    (bert::NAME, Constructor::Text(|classes, seed, device, o| Ok(Box::new(Bert::new(classes, seed, device, o)?)))),
    (lenet::NAME, Constructor::Images(|classes, seed, device| Ok(Box::new(LeNet::new(classes, seed, device)?)))),
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

/// The names of all models.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// Whether a model takes text, and is built by [`build_text`].
///
/// # Errors
/// [`Error::UnknownModel`] names the nearest valid name and all of them.
#[cfg(feature = "bert")]
pub fn takes_text(name: &str) -> Result<bool> {
    Ok(matches!(find(name)?, (_, Constructor::Text(_))))
}

/// A model of images with fresh weights, drawn under `seed`.
///
/// # Errors
/// [`Error::UnknownModel`] names the nearest valid name and all of them; [`Error::TooFewClasses`] for less than two
/// classes; [`Error::Builder`] for a model of text.
pub fn build(name: &str, classes: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>> {
    match find(name)? {
        (_, Constructor::Images(constructor)) => constructor(classes, seed, device),
        #[cfg(feature = "bert")]
        (model, Constructor::Text(_)) => Err(Error::Builder { model, kind: "text", function: "build_text" }),
    }
}

/// A model of text with fresh weights, drawn under `seed`.
///
/// # Errors
/// As [`build`], the other way round; [`Error::UnknownPattern`] for a pattern in `freeze` that names nothing.
#[cfg(feature = "bert")]
pub fn build_text(
    name: &str,
    classes: usize,
    seed: u64,
    device: &Device,
    options: &TextOptions,
) -> Result<Box<dyn Model>> {
    match find(name)? {
        (_, Constructor::Text(constructor)) => constructor(classes, seed, device, options),
        (model, Constructor::Images(_)) => Err(Error::Builder { model, kind: "images", function: "build" }),
    }
}

fn find(name: &str) -> Result<(&'static str, Constructor)> {
    match MODELS.iter().find(|(known, _)| *known == name) {
        Some(model) => Ok(*model),
        None => Err(Error::UnknownModel { name: name.to_owned(), nearest: nearest(name), known: &NAMES }),
    }
}

fn nearest(name: &str) -> &'static str {
    let name = name.to_lowercase();
    NAMES.iter().copied().min_by_key(|known| strsim::damerau_levenshtein(&name, known)).unwrap_or_default()
}
