#![doc = include_str!("../README.md")]

mod error;
mod lenet;
mod model;
mod registry;
mod resnet;
pub mod weights;

pub use cnc_nn::Parameters;
pub use cnc_nn::layers::Mode;
pub use error::{Error, Result};
pub use lenet::LeNet;
pub use model::{Inputs, Model};
pub use registry::{build, names};
pub use resnet::ResNet;
