#![doc = include_str!("../README.md")]

mod autograd;
mod error;
pub mod files;
pub mod init;
mod kernels;
pub mod layers;
mod memory;
mod op_error;
pub mod ops;
pub mod optim;
pub mod oracle;
mod parameters;

pub use autograd::{no_grad, recompute};
pub use error::{Error, Mismatch, Misshapen, Result};
pub use kernels::simd::InstructionSet;
pub use memory::keep_freed_memory;
pub use parameters::Parameters;
