//! The manifest of a dataset, by its name or its path.

use anyhow::Result;
use cnc_data::{DataError, Manifest};

use crate::error::UsageError;

/// An unknown name is a mistake in the command, a bad file is not.
///
/// # Errors
/// When there is no such dataset, or its manifest is not valid.
pub(crate) fn open(dataset: &str) -> Result<Manifest> {
    Manifest::open(dataset).map_err(|error| match error {
        DataError::UnknownDataset { .. } => UsageError(error.to_string()).into(),
        error => error.into(),
    })
}
