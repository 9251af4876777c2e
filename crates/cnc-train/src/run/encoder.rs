//! The finished run whose model another one begins with.

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::encoder::EncoderRun;
use crate::config::run_config::RunConfig;
use crate::record::FinishedRun;

/// The run in a folder, with the model that it is to be of.
///
/// # Errors
/// When there is no finished run, or it is of another model.
pub(crate) fn encoder_of(folder: &Path, model: &str) -> Result<EncoderRun> {
    let run = FinishedRun::open(folder)?;
    let results = run.results()?;
    if results.model != model {
        bail!(
            "--encoder {}: its model is `{}`, and that of this run `{model}`: choose it with --model {}",
            folder.display(),
            results.model,
            results.model
        );
    }
    let title = results.stages.last().map_or_else(|| results.method.clone(), |stage| stage.title.clone());
    let (method, label_budget) = (results.method.clone(), results.label_budget.clone());
    Ok(EncoderRun { method, title, seed: results.seed, label_budget })
}

/// Refuse data that are not split as those of its run: what it was trained on would be validation or test here.
///
/// # Errors
/// When a split holds other rows.
pub(crate) fn check_encoder(folder: &Path, config: &RunConfig) -> Result<()> {
    let then = FinishedRun::open(folder)?.config()?.rows;
    for (split, rows) in &config.rows {
        if let Some(before) = then.get(split).filter(|before| *before != rows) {
            bail!(
                "--encoder {}: it was trained with another {split} split ({before} then, {rows} now), so that samples of its \
                 training may be in validation or test here\n  hint: give the --seed, --limit and data of its run",
                folder.display()
            );
        }
    }
    Ok(())
}
