#![doc = include_str!("../README.md")]

#[cfg(feature = "bert")]
mod bert;
mod error;
mod freeze;
mod lenet;
mod model;
mod registry;

#[cfg(feature = "bert")]
pub use bert::{Activations, Architecture, Bert, BertConfig, Notice, Pooling, TextOptions};
pub use cnc_nn::Parameters;
pub use cnc_nn::layers::Mode;
pub use error::{Error, Result};
pub use freeze::frozen;
pub use lenet::LeNet;
pub use model::{Inputs, Model};
pub use registry::{build, names};
#[cfg(feature = "bert")]
pub use registry::{build_text, takes_text};
