//! `cnc-train inspect`: what a finished run's model gets wrong, what that goes with, and what to do about it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cnc_data::SplitName;

use super::evaluate::split;
use super::progress;
use super::say::result;
use crate::config::device;
use crate::inspect::{files, inspect, words};
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::run::reopen::{Reopened, reopen};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train inspect runs/photos-erm-0
  cnc-train inspect runs/photos-erm-0 --split validation
  cnc-train inspect elsewhere/photos-erm-0 --data photos

Errors are set beside the attribute, every further column of the dataset's tables, and measures of the inputs: of images brightness,
contrast, saturation, sharpness, colour and those of the border, of texts length, capitals, digits, punctuation and words. What goes
with them in one half of the samples is tested in the other; both are corrected for how much is looked at (Holm). Everything is
written into the run's folder: inspect/inspect.json, errors.csv, labels.csv, associations.csv.")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to look at; of train no labels are doubted.
    #[arg(long, value_parser = PossibleValuesParser::new(SplitName::ALL.map(SplitName::as_str)).try_map(|name| split(&name)), default_value = "test")]
    split: SplitName,
    /// The dataset's files are in this folder; that of the manifest, where the dataset is not built in.
    #[arg(long = "data", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

/// Inspect the run's model, write what was found, and say it.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let run = FinishedRun::open(&arguments.run)?;
    let device = device::open(&arguments.device)?;
    let Reopened { manifest, dataset } = reopen(&run, arguments.folder.as_deref(), &progress::listener())?;
    let model = run.model(&Known::default(), dataset.classes.len(), &device)?;
    let inspection = inspect(&run, &*model, (&manifest, &dataset), arguments.split, &device)?;
    let folder = arguments.run.join("inspect");
    files::write(&inspection, &folder)?;
    result!("{}", words::said(&inspection));
    result!("all of it: {}", folder.display());
    Ok(())
}
