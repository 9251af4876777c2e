#![doc = include_str!("../README.md")]

mod checkpoint;
mod error;
pub mod files;
pub mod init;
pub mod layers;
mod memory;
pub mod ops;
pub mod optim;
mod parameters;
pub mod seeded;

pub use checkpoint::checkpoint;
pub use error::{Error, Mismatch, Misshapen, Result};
pub use memory::keep_freed_memory;
pub use ops::autograd::no_grad;
pub use parameters::Parameters;
