#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "bert")]
mod bert;
mod error;
mod freeze;
mod lenet;
mod model;
mod registry;
mod resnet;
pub mod weights;

#[cfg(feature = "bert")]
pub use bert::{Architecture, Bert, BertConfig, Notice, Pooling, TextOptions, unpadded};
pub use cnc_base::inputs::{Inputs, Token, Tokens};
pub use cnc_nn::Parameters;
pub use cnc_nn::layers::Mode;
pub use error::{Error, Result};
pub use freeze::frozen;
pub use lenet::LeNet;
pub use model::Model;
pub use registry::{Kind, Registry, build};
pub use resnet::ResNet;
