#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod files;
pub mod inputs;
pub mod locks;
pub mod names;
pub mod seeds;
