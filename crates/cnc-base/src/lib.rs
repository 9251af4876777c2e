#![doc = include_str!("../README.md")]

pub mod files;
pub mod inputs;
pub mod names;
pub mod seeds;
