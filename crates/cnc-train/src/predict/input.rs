//! Inputs of a model, and how they become what it reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use cnc_data::image::Picture;
use cnc_data::{ImageInputs, ImageSource, Inputs, TextBatches, TextInputs};

use crate::error::told;
use crate::training::evaluate::batch_size;

/// Texts of a chunk, at most: those of like length come into the same batch.
const TEXTS: usize = 4096;
/// Bytes of the texts of a chunk, from which on no further text is added.
const TEXT_BYTES: usize = 16 << 20;

/// An input of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file with an image: JPEG, PNG, WebP, GIF, BMP or TIFF.
    File(PathBuf),
    /// A decoded image.
    Picture {
        /// What its prediction is called by.
        name: String,
        /// The image.
        picture: Picture,
    },
    /// A text.
    Text(String),
}

/// What is wrong with an input that cannot be read: a message that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// An input, or what is wrong in its place.
pub(crate) type Given = Result<Input, Unreadable>;

/// Makes of inputs what a model reads.
pub(super) enum Preparer {
    /// Of images.
    Images(ImageInputs),
    /// Of texts, which stand in this column of the tables that the model was trained on.
    Texts {
        /// The column.
        column: String,
        /// What makes tokens of them.
        texts: Box<TextInputs>,
    },
}

/// Some inputs as the model takes them.
pub(super) struct Chunk {
    /// For each input what its prediction is called by, or what is wrong with it.
    pub(super) names: Vec<Result<String, Unreadable>>,
    /// Batches, and the places of their inputs among `names`.
    pub(super) batches: Vec<(Vec<usize>, Inputs)>,
    /// Places of the texts that were cut, with the number of tokens that they have in full.
    pub(super) cut: BTreeMap<usize, usize>,
}

impl Preparer {
    /// The next inputs that are prepared at once; nothing after the last one. What comes before an error comes before it here.
    pub(super) fn take(&self, inputs: &mut dyn Iterator<Item = Result<Given>>) -> (Vec<Given>, Option<anyhow::Error>) {
        let most = match self {
            Self::Images(images) => batch_size(Some(images.shape())),
            Self::Texts { .. } => TEXTS,
        };
        let (mut taken, mut held) = (Vec::new(), 0);
        while taken.len() < most && held < TEXT_BYTES {
            match inputs.next() {
                None => break,
                Some(Err(error)) => return (taken, Some(error)),
                Some(Ok(input)) => {
                    if let Ok(Input::Text(text)) = &input {
                        held += text.len();
                    }
                    taken.push(input);
                }
            }
        }
        (taken, None)
    }

    /// Prepare some inputs.
    ///
    /// # Errors
    /// When they are of another kind than the model takes, or there is no memory for them.
    pub(super) fn prepare(&self, inputs: Vec<Given>) -> Result<Chunk> {
        match self {
            Self::Images(images) => prepare_images(images, inputs),
            Self::Texts { texts, .. } => prepare_texts(texts, inputs),
        }
    }
}

fn prepare_images(preparer: &ImageInputs, inputs: Vec<Given>) -> Result<Chunk> {
    let (mut names, mut sources) = (Vec::new(), Vec::new());
    for input in inputs {
        let (name, source) = match input {
            Ok(Input::File(file)) => (file.display().to_string(), ImageSource::File(file)),
            Ok(Input::Picture { name, picture }) => (name, ImageSource::Picture(picture)),
            Ok(Input::Text(_)) => bail!("the model takes images, not texts"),
            Err(problem) => {
                names.push(Err(problem));
                continue;
            }
        };
        names.push(Ok(name));
        sources.push(source);
    }
    let prepared = preparer.batch(&sources)?;
    let mut places = Vec::new();
    let mut problems = prepared.problems.into_iter();
    for (place, name) in names.iter_mut().enumerate() {
        let Ok(called) = &*name else { continue };
        match problems.next().flatten() {
            None => places.push(place),
            Some(problem) => {
                *name = Err(Unreadable(told(&format!("{called}: {problem}"), problem.remedy().as_ref())));
            }
        }
    }
    Ok(Chunk {
        names,
        batches: prepared.inputs.map(|inputs| (places, inputs)).into_iter().collect(),
        cut: BTreeMap::new(),
    })
}

fn prepare_texts(preparer: &TextInputs, inputs: Vec<Given>) -> Result<Chunk> {
    let (mut places, mut good, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (place, input) in inputs.into_iter().enumerate() {
        names.push(match input {
            Ok(Input::Text(text)) => {
                places.push(place);
                good.push(text.clone());
                Ok(text)
            }
            Ok(Input::File(_) | Input::Picture { .. }) => bail!("the model takes texts, not images"),
            Err(problem) => Err(problem),
        });
    }
    let TextBatches { batches, cut } = preparer.batches(&good, batch_size(None))?;
    let in_chunk = |of_batch: Vec<usize>| of_batch.into_iter().filter_map(|place| places.get(place)).copied().collect();
    let batches = batches.into_iter().map(|(of_batch, inputs)| (in_chunk(of_batch), inputs)).collect();
    let cut = cut.into_iter().filter_map(|(place, in_full)| Some((*places.get(place)?, in_full))).collect();
    Ok(Chunk { names, batches, cut })
}
