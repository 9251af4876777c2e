//! What a prediction needs of a run besides the model.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use cnc_base::files::write_atomically;
use cnc_data::Preparation;
use serde::{Deserialize, Serialize};

/// Name of the file that says what a prediction needs besides the model: a [`Interface`].
pub(crate) const INTERFACE: &str = "interface.json";

/// What the model of a run takes and gives, apart from the data that it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interface {
    /// Names of the classes, by class index.
    pub classes: Vec<String>,
    /// How inputs become what the model reads.
    pub inputs: Preparation,
}

impl Interface {
    /// Read that of a run.
    ///
    /// # Errors
    /// When the file is missing or not what a run writes.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = run.join(INTERFACE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{}: cannot be read, and it says how inputs are prepared for the model; repeat the run",
                path.display()
            )
        })?;
        serde_json::from_str(&text).map_err(|e| {
            anyhow!("{}: {e}\n  hint: the file was changed; restore it, or repeat the run", path.display())
        })
    }

    /// Write it into the folder of a run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, run: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_atomically(&run.join(INTERFACE), text.as_bytes())?)
    }
}
