#![doc = include_str!("../README.md")]

pub mod builtin;
pub mod colour;
mod content;
mod dataset;
mod error;
mod hub;
pub mod image;
mod loader;
pub mod manifest;
mod options;
pub mod patterns;
mod preparation;
pub mod properties;
mod remedy;
mod row_place;
mod rows;
pub mod strict_toml;
pub mod survey;
pub mod table;
mod text;

pub use cnc_base::inputs::{Inputs, Tokens};
pub use content::{Augment, Skipped};
pub use dataset::{Batch, Dataset, Duplicate, Duplicates, Split};
pub use error::DataError;
pub use hub::{Fetched, HubCache, HubFile, HubRepository, NotCached, RepositoryKind, hub_home};
pub use image::transform::{RandomView, RandomViews};
pub use loader::{Draw, Prefetch, prefetch, read_ahead};
pub use manifest::{Manifest, SplitName};
pub use options::{OpenOptions, Progress};
pub use preparation::{
    ImageInputs, ImagePreparation, ImageSource, Preparation, Prepared, TextBatches, TextInputs, TextPreparation,
};
pub use remedy::Remedy;
pub use row_place::RowPlace;
pub use rows::{Group, Source};
