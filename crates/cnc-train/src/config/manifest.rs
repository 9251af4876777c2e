//! The manifest of a dataset, by its name or its path.

use std::path::Path;

use anyhow::Result;
use cnc_data::{DataError, Manifest};

use crate::error::UsageError;

/// An unknown name is a mistake in the command, a bad file is not.
///
/// # Errors
/// When there is no such dataset, or its manifest is not valid.
pub(crate) fn open(dataset: &str) -> Result<Manifest> {
    if lacks_manifest(Path::new(dataset)) {
        let problem =
            format!("{dataset} has no dataset.toml\n  hint: cnc-train init {dataset} writes one from what is in it");
        return Err(UsageError(problem).into());
    }
    Manifest::open(dataset).map_err(|error| match error {
        DataError::UnknownDataset { .. } => UsageError(error.to_string()).into(),
        error => error.into(),
    })
}

/// Whether these are data by themselves: a folder or a table that no manifest describes.
fn lacks_manifest(data: &Path) -> bool {
    let is_manifest = data.extension().is_some_and(|extension| extension == "toml");
    if data.is_dir() { !data.join("dataset.toml").exists() } else { data.is_file() && !is_manifest }
}
