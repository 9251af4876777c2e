//! Where a run's data are, and what of them is accepted: on the command line and in `config.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Where the data are, and what of them is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DataSettings {
    /// The dataset's files are in this folder: as their authors publish them, or laid out as on the hub.
    #[arg(long = "data", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Go on where the numbers of rows are not those that the manifest expects.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_count_mismatch: bool,
    /// Leave out the rows whose images cannot be read, count and list them, instead of stopping at the first.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_unreadable: bool,
    /// Width times height of the largest image that is read [default: 67108864]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u64>,
    /// Of texts: the tokenizer, a folder with tokenizer.json or vocab.txt, or one of these files [default: the model's]
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Of texts: most tokens of one [default: the manifest's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
}

impl DataSettings {
    /// These settings, with those of `other` where they say nothing.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            folder: self.folder.or(other.folder),
            allow_count_mismatch: self.allow_count_mismatch || other.allow_count_mismatch,
            skip_unreadable: self.skip_unreadable || other.skip_unreadable,
            max_pixels: self.max_pixels.or(other.max_pixels),
            tokenizer: self.tokenizer.or(other.tokenizer),
            max_length: self.max_length.or(other.max_length),
        }
    }

    /// The settings with paths that are the same from everywhere.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub(crate) fn absolute(mut self) -> Result<Self> {
        for path in [&mut self.folder, &mut self.tokenizer].into_iter().flatten() {
            *path = std::path::absolute(&*path).context("the current folder cannot be found")?;
        }
        Ok(self)
    }

    /// Whether nothing is said.
    #[must_use]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
