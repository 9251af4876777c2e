//! What can go wrong, by name.

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

    /// An error of a layer.
    #[error(transparent)]
    Layer(#[from] cnc_nn::Error),

    /// An error of Candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
