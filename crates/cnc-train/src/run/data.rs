//! The data of a run, opened as its settings say, with what a user should know of them said.

use std::sync::Arc;

use anyhow::Result;
use cnc_data::{Dataset, Manifest, OpenOptions, Progress};

use crate::config::data::DataSettings;
use crate::error::told;
use crate::event::{Event, Listener};

/// Rows that are left out that a message lists.
const LISTED: usize = 20;

/// Open a dataset, perhaps to take resized crops of its images, and say what a user should know of it.
///
/// # Errors
/// As [`Dataset::open`].
pub(crate) fn open(
    settings: &DataSettings,
    manifest: Manifest,
    limit: Option<usize>,
    seed: u64,
    resized_crops: bool,
    listener: &Listener,
) -> Result<Dataset> {
    let say = |text: String| listener(&Event::Note(&text));
    let manifest = match &settings.folder {
        None => manifest,
        Some(folder) => manifest.in_folder(folder)?,
    };
    let tokenised = Arc::clone(listener);
    let mut options = OpenOptions {
        limit,
        seed,
        resized_crops,
        allow_count_mismatch: settings.allow_count_mismatch,
        skip_unreadable: settings.skip_unreadable,
        tokenizer: settings.tokenizer.clone(),
        max_length: settings.max_length,
        progress: Some(Progress::new(move |done, total| tokenised(&Event::Tokenised { done, total }))),
        ..OpenOptions::default()
    };
    options.max_pixels = settings.max_pixels.unwrap_or(options.max_pixels);
    let dataset = Dataset::open(&manifest, &options)?;
    for note in &dataset.notes {
        say(if note.starts_with("warning: ") { note.clone() } else { format!("note: {note}") });
    }
    if !dataset.skipped.is_empty() {
        say(format!("warning: {} rows were left out because their images cannot be read", dataset.skipped.len()));
        for skipped in dataset.skipped.iter().take(LISTED) {
            say(format!("  {}: {}", skipped.split, told(&skipped.problem, skipped.remedy.as_ref())));
        }
        if let more @ 1.. = dataset.skipped.len().saturating_sub(LISTED) {
            say(format!("  and {more} more; `cnc-train check` with the same options lists all"));
        }
    }
    Ok(dataset)
}
