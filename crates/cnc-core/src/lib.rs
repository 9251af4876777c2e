#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod contrast;
pub mod draws;
mod error;
pub mod evaluation;
pub mod fits;
#[cfg(test)]
#[path = "../tests/parity/reference.rs"]
mod fixtures;
mod groups;
pub mod losses;
pub mod methods;

pub use candle_core;
pub use contrast::{
    Contrast, ContrastiveBatch, ContrastiveLoss, ContrastiveOptions, ContrastiveSampler, Parts, Sides, Slices,
};
pub use error::{Error, Result};
pub use evaluation::Evaluation;
pub use fits::Features;
pub use groups::Groups;
pub use losses::cross_entropy;
pub use rand;
pub use rand_chacha;
