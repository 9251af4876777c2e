//! `cnc-train inspect`: what a finished run's model gets wrong, what that goes with, and what to do about it.

use anyhow::Result;
use clap::Args;

use super::on_split::{OnSplit, OpenedRun};
use super::say::result;
use crate::inspect::{files, inspect, words};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train inspect runs/photos-erm-0
  cnc-train inspect runs/photos-erm-0 --split validation
  cnc-train inspect elsewhere/photos-erm-0 --data photos

Errors are set beside the attribute, every further column of the dataset's tables, and measures of the inputs: of images brightness,
contrast, saturation, sharpness, colour and those of the border, of texts length, capitals, digits, punctuation and words. What goes
with them in one half of the samples is tested in the other; both are corrected for how much is looked at (Holm). Of the training
split, whose labels the model has seen, none is doubted. Everything is written into the run's folder: inspect/inspect.json, errors.csv, labels.csv, associations.csv.")]
pub(super) struct Arguments {
    #[command(flatten)]
    on: OnSplit,
}

/// Inspect the run's model, write what was found, and say it.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let OpenedRun { run, data, model, device } = arguments.on.open(None)?;
    let inspection = inspect(&run, &*model, (&data.manifest, &data.dataset), arguments.on.split, &device)?;
    let folder = run.folder().join("inspect");
    files::write(&inspection, &folder)?;
    result!("{}", words::said(&inspection));
    result!("all of it: {}", folder.display());
    Ok(())
}
