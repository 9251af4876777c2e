//! What can go wrong, by name.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model has this name.
    #[error("unknown model {name:?}: did you mean {nearest:?}? Known models: {}", known.join(", "))]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The most similar valid name.
        nearest: &'static str,
        /// All valid names.
        known: &'static [&'static str],
    },

    /// A classifier needs something to tell apart.
    #[error("a classifier needs 2 classes or more, found {found}")]
    TooFewClasses {
        /// Number of classes that was asked for.
        found: usize,
    },

    /// Images of another shape than the model is made for.
    #[error("{model} takes images of shape {expected}, found {found:?}; change the dataset's transform or the model")]
    ImageShape {
        /// Name of the model.
        model: &'static str,
        /// The shape that it takes.
        expected: &'static str,
        /// The shape that it was given.
        found: Vec<usize>,
    },

    /// Text for a model of images, or the other way round.
    #[error("{model} takes {expected}, found {found}; choose a model for this kind of data")]
    InputKind {
        /// Name of the model.
        model: &'static str,
        /// The kind that it takes.
        expected: &'static str,
        /// The kind that it was given.
        found: &'static str,
    },

    /// A model that keeps so little for the backward pass that there is nothing to recompute.
    #[error("this model does not recompute activations: it is small enough to keep them; train it without")]
    NotRecomputed,

    /// The tensors of a file are not those of the model. Nothing was changed.
    #[error(
        "the weights in {} are not for this model: {mismatch}; choose the model that they are of, or other weights",
        path.display()
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// Every tensor that does not fit.
        mismatch: Box<cnc_nn::Mismatch>,
    },

    /// A file of PyTorch's that is damaged, or holds anything but tensors.
    #[error(
        "{} is not a state dict of PyTorch: {problem}; save one with torch.save(model.state_dict(), path)",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// A file in PyTorch's format before 1.6.
    #[error(
        "{} is in PyTorch's format before version 1.6; read it there and save it anew: \
         torch.save(torch.load(path, weights_only=True), path)",
        path.display()
    )]
    OldPickle {
        /// The file.
        path: PathBuf,
    },

    /// An error of a layer.
    #[error(transparent)]
    Layer(#[from] cnc_nn::Error),

    /// An error of Candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
