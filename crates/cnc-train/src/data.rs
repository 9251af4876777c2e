//! Where a run's data are, and what of them is accepted: on the command line and in `config.toml`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use cnc_data::{Dataset, Manifest, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::say::note;

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
    pub fn or(self, other: Self) -> Self {
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
    pub fn absolute(mut self) -> Result<Self> {
        for path in [&mut self.folder, &mut self.tokenizer].into_iter().flatten() {
            *path = std::path::absolute(&*path).context("the current folder cannot be found")?;
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
            tokenizer: self.tokenizer.clone(),
            max_length: self.max_length,
            progress: Some(tokenised),
            ..OpenOptions::default()
        };
        options.max_pixels = self.max_pixels.unwrap_or(options.max_pixels);
        let dataset = Dataset::open(&manifest, &options)?;
        for note in &dataset.notes {
            note!("note: {note}");
        }
        if !dataset.skipped.is_empty() {
            note!("warning: {} rows were left out because their images cannot be read", dataset.skipped.len());
            for skipped in dataset.skipped.iter().take(LISTED) {
                note!("  {}: {}", skipped.split, skipped.problem);
            }
            if let more @ 1.. = dataset.skipped.len().saturating_sub(LISTED) {
                note!("  and {more} more; `cnc-train check` with the same options lists all");
            }
        }
        Ok(dataset)
    }
}

/// Say how many texts are tokenised: in one line on a terminal, at every tenth elsewhere.
fn tokenised(done: usize, total: usize) {
    /// Fewer take less than a second.
    const FEW: usize = 20_000;
    static TENTH: AtomicUsize = AtomicUsize::new(0);
    if total < FEW {
        return;
    }
    let is_terminal = std::io::stderr().is_terminal();
    if is_terminal {
        // Where a terminal has gone there is nobody to tell.
        let _ = write!(std::io::stderr(), "\rtokenising: {done} of {total} texts");
    }
    let tenth = 10 * done / total;
    if TENTH.swap(tenth, Ordering::Relaxed) != tenth && !is_terminal {
        note!("tokenising: {done} of {total} texts");
    }
    if is_terminal && done == total {
        note!("");
    }
}
