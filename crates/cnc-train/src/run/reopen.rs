//! The data of a finished run, opened again.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Result, anyhow};
use cnc_data::{Dataset, Manifest};

use super::data;
use crate::config::manifest;
use crate::config::run_config::RunConfig;
use crate::error::shown;
use crate::event::{Event, Listener};
use crate::record::FinishedRun;

/// The data that a run was trained on.
pub(crate) struct Reopened {
    /// As its manifest has them.
    pub(crate) manifest: Manifest,
    /// Opened as the run's settings say.
    pub(crate) dataset: Dataset,
}

/// Open the data of a run, which may have moved to `folder`; the listener is told where they are others than then.
///
/// # Errors
/// When the data are not there any more, or are not valid.
pub(crate) fn reopen(run: &FinishedRun, folder: Option<&Path>, listener: &Listener) -> Result<Reopened> {
    let mut config = run.config()?;
    let manifest = manifest_of(&mut config, folder)?;
    if manifest.is_text() {
        // The run has a copy of the tokenizer.
        config.data.tokenizer = Some(run.folder().to_owned());
    }
    let manifest = match config.data.folder.take() {
        Some(folder) => manifest.in_folder(&folder)?,
        None => manifest,
    };
    let dataset = data::open(&config.data, manifest.clone(), config.limit, config.seed, false, listener)?;
    for (split, rows) in config.on(&dataset).rows {
        if let Some(then) = config.rows.get(&split).filter(|then| **then != rows) {
            let warning = format!("warning: the {split} split is not that of the run: {rows} now, {then} then");
            listener(&Event::Note(&warning));
        }
    }
    Ok(Reopened { manifest, dataset })
}

/// The manifest of a run's dataset, which may have moved to `folder` with its files.
fn manifest_of(config: &mut RunConfig, folder: Option<&Path>) -> Result<Manifest> {
    let Some(folder) = folder else {
        return manifest::open(&config.dataset).map_err(|error| {
            anyhow!("{}\n  hint: --data DIR names the folder that the dataset is in now", shown(&error))
        });
    };
    // A manifest was named by itself or by its folder.
    let is_built_in = cnc_data::builtin::manifest(&config.dataset).is_some();
    let names = [Path::new(&config.dataset).file_name(), Some(OsStr::new("dataset.toml")).filter(|_| !is_built_in)];
    let moved = names.into_iter().flatten().map(|name| folder.join(name)).find(|path| path.is_file());
    match moved {
        Some(path) => {
            config.data.folder = None;
            manifest::open(&path.display().to_string())
        }
        None => {
            config.data.folder = Some(folder.to_owned());
            manifest::open(&config.dataset)
        }
    }
}
