#![doc = include_str!("../README.md")]

mod error;
pub mod files;
pub mod init;
pub mod layers;
pub mod ops;
pub mod optim;
mod parameters;
pub mod seeded;

pub use error::{Error, Mismatch, Misshapen, Result};
pub use parameters::Parameters;
