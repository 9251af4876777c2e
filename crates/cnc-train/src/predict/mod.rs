//! Predictions of inputs that are in no dataset: what they are made into is what evaluation makes of a row, by the same
//! code, and the model is the one that the run saved.
//!
//! [`Predictor`] is loaded from the folder of a finished run. Inputs are read, prepared and predicted a few batches at a time,
//! so that a million of them need no more memory than a hundred: a thread of its own reads ahead of the model.

mod input;
mod predictor;

pub(crate) use input::Given;
pub use input::{Input, Unreadable};
pub use predictor::{Prediction, Predictor};
