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
        nearest: String,
        /// All valid names.
        known: Vec<String>,
    },

    /// A model of this name is registered already.
    #[error("there is a model {name:?} already; register yours under another name")]
    NameTaken {
        /// The name.
        name: String,
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

    /// A model of text without its sizes, or sizes for a model that has its own.
    #[error("{model} is a model of {kind}: build it with {function}")]
    Builder {
        /// Name of the model.
        model: String,
        /// What it takes.
        kind: &'static str,
        /// The function that builds it.
        function: &'static str,
    },

    /// A pattern of variables to freeze that names none.
    #[error("freeze={pattern}: no variable starts with {part:?}; choose from {valid} or parts of these")]
    UnknownPattern {
        /// The pattern.
        pattern: String,
        /// The pattern, or the number of its range, that names nothing.
        part: String,
        /// Patterns that name something.
        valid: String,
    },

    /// The configuration of a checkpoint could not be read.
    #[error("cannot read {}: {source}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A configuration that is not what it should be.
    #[error("{} is no configuration of BERT or DistilBERT: {reason}", path.display())]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A setting of a configuration that no model can be built with.
    #[error("{}: {key} is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Name of the setting.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },

    /// Tokens of another shape than a batch of texts.
    #[error("ids, mask and segments of texts must all be (batch, length) of U32, but one is {found}")]
    TokenShape {
        /// Shape and type that came.
        found: String,
    },

    /// A text with more tokens than a model has positions.
    #[error("text {row} of the batch is longer than the {positions} tokens that the model takes; truncate it to these")]
    TooLong {
        /// Place of the text in the batch, from 0.
        row: usize,
        /// Tokens of the longest text.
        positions: usize,
    },

    /// A token or segment that the model does not have.
    #[error(
        "text {row} of the batch has the {kind} {id} at position {position}, but the model has {count}, from 0 on; take the \
         tokenizer that belongs to the model"
    )]
    UnknownToken {
        /// Token or segment.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// Place of the text in the batch, from 0.
        row: usize,
        /// Place in the text, from 0.
        position: usize,
        /// How many the model has.
        count: usize,
    },

    /// A text without tokens.
    #[error("text {row} of the batch has no tokens: its mask is 0 throughout; keep the tokens that mark start and end")]
    EmptyText {
        /// Place of the text in the batch, from 0.
        row: usize,
    },

    /// A text whose first token, which the pooler reads, is padding.
    #[error(
        "the first token of text {row} of the batch is masked, but the pooler reads it; pad on the right, or pool by mean"
    )]
    HiddenFirstToken {
        /// Place of the text in the batch, from 0.
        row: usize,
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

    /// Some of a file's names have a prefix before those of the model, and others do not. Nothing was changed.
    #[error("the weights in {} are not for this model: {partial}; save them with the prefix taken off", path.display())]
    Prefix {
        /// The file.
        path: PathBuf,
        /// The prefix, and the names with it.
        partial: Box<crate::weights::Partial>,
    },

    /// The names in a file of a model of text are those of another architecture. Nothing was changed.
    #[error(
        "the weights in {} are of another architecture than the config.json beside them says: their names begin with \
         `{prefix}`, such as {example}; BERT and DistilBERT are read. Of those: {mismatch}",
        path.display()
    )]
    OtherArchitecture {
        /// The file.
        path: PathBuf,
        /// What the names begin with.
        prefix: String,
        /// One of them.
        example: String,
        /// Every tensor that does not fit.
        mismatch: Box<cnc_nn::Mismatch>,
    },

    /// Weights of RoBERTa under the names of BERT: its positions are counted otherwise. Nothing was changed.
    #[error("these are weights of RoBERTa and not of BERT: {sign}; BERT and DistilBERT are read")]
    Roberta {
        /// What tells it.
        sign: String,
    },

    /// Statistics of batch norm that no batch has. Nothing was changed.
    #[error("the weights in {} are damaged: variances below 0 in {}", path.display(), names.join(", "))]
    NegativeVariance {
        /// The file.
        path: PathBuf,
        /// Names of the variances.
        names: Vec<String>,
    },

    /// A folder that no weights are in.
    #[error("there are no weights in {}: neither model.safetensors nor pytorch_model.bin", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },

    /// Weights in a form that is not read, or no weights at all.
    #[error("{} is {found}: weights are read from .safetensors and from state dicts of PyTorch; {remedy}", path.display())]
    NotWeights {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What to do about it.
        remedy: String,
    },

    /// An index of weights in several files that these do not bear out.
    #[error("{} does not lead to whole weights: {problem}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        problem: String,
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
