#![doc = include_str!("../README.md")]

mod atomic;
pub mod builtin;
pub mod colour;
mod counts;
mod dataset;
mod error;
mod groups;
mod hub;
pub mod image;
mod images;
mod loader;
pub mod manifest;
mod pack;
pub mod patterns;
mod pixels;
mod preparation;
mod rows;
mod seeded;
mod shares;
pub mod strict_toml;
pub mod table;
mod text;
mod views;

pub use dataset::{Augment, Batch, Dataset, Inputs, OpenOptions, Skipped, Split};
pub use error::DataError;
pub use groups::Group;
pub use hub::{Fetched, HubCache, HubRepository, NotCached, RepositoryKind, hub_home};
pub use loader::{Draw, Prefetch, prefetch};
pub use manifest::{HubFile, Manifest, SplitName};
pub use preparation::{ImageInputs, ImagePreparation, Preparation, Prepared, TextInputs, TextPreparation};
