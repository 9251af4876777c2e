//! Where a run's data are, and what of them is accepted: on the command line and in `config.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use cnc_data::{Dataset, Manifest, OpenOptions};
use serde::{Deserialize, Serialize};

/// Names that a message lists.
const LISTED: usize = 20;

/// Where the data are, and what of them is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
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
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u64>,
}

impl DataSettings {
    /// These settings, with those of `other` where they say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            folder: self.folder.or(other.folder),
            allow_count_mismatch: self.allow_count_mismatch || other.allow_count_mismatch,
            skip_unreadable: self.skip_unreadable || other.skip_unreadable,
            max_pixels: self.max_pixels.or(other.max_pixels),
        }
    }

    /// The settings with a folder that is the same from everywhere.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn absolute(mut self) -> Result<Self> {
        if let Some(folder) = &mut self.folder {
            *folder = std::path::absolute(&*folder).context("the current folder cannot be found")?;
        }
        Ok(self)
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Open a dataset, and say on stderr what a user should know of it.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(&self, manifest: Manifest, limit: Option<usize>, seed: u64) -> Result<Dataset> {
        let manifest = match &self.folder {
            None => manifest,
            Some(folder) => manifest.in_folder(folder)?,
        };
        let mut options = OpenOptions {
            limit,
            seed,
            allow_count_mismatch: self.allow_count_mismatch,
            skip_unreadable: self.skip_unreadable,
            ..OpenOptions::default()
        };
        options.max_pixels = self.max_pixels.unwrap_or(options.max_pixels);
        let dataset = Dataset::open(&manifest, &options)?;
        for note in &dataset.notes {
            eprintln!("note: {note}");
        }
        if !dataset.skipped.is_empty() {
            eprintln!("warning: {} rows were left out because their images cannot be read", dataset.skipped.len());
            for skipped in dataset.skipped.iter().take(LISTED) {
                eprintln!("  {}: {}", skipped.split, skipped.problem);
            }
            if let more @ 1.. = dataset.skipped.len().saturating_sub(LISTED) {
                eprintln!("  and {more} more; `cnc-train check` with the same options lists all");
            }
        }
        Ok(dataset)
    }
}
