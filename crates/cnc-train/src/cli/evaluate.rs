//! `cnc-train evaluate`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cnc_data::SplitName;

use super::progress;
use super::say::result;
use crate::config::device;
use crate::config::selection::Selection;
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::report::table;
use crate::run::reopen::{Reopened, reopen};
use crate::training::evaluate::{View, predict, summarise};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train evaluate runs/digits-cnc-0
  cnc-train evaluate runs/digits-cnc-0 --split validation
  cnc-train evaluate runs/digits-cnc-0 --select average
  cnc-train evaluate elsewhere/birds-cnc-0 --data my-data")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to evaluate.
    #[arg(long, value_parser = PossibleValuesParser::new(SplitName::ALL.map(SplitName::as_str)).try_map(|name| split(&name)), default_value = "test")]
    split: SplitName,
    /// The dataset's files are in this folder; that of the manifest, where the dataset is not built in.
    #[arg(long = "data", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The checkpoint that this rule would have chosen [default: the run's own rule]
    #[arg(long, value_name = "RULE", value_enum)]
    select: Option<Selection>,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

/// The split of this name.
pub(super) fn split(name: &str) -> Result<SplitName, String> {
    SplitName::ALL.into_iter().find(|split| split.as_str() == name).ok_or_else(|| name.to_owned())
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let run = FinishedRun::open(&arguments.run)?.by(arguments.select)?;
    let device = device::open(&arguments.device)?;
    let Reopened { dataset, .. } = reopen(&run, arguments.folder.as_deref(), &progress::listener())?;
    let model = run.model(&Known::default(), dataset.classes.len(), &device)?;
    let split = dataset.split(arguments.split);
    let predictions = predict(&*model, split, View::Centre, &device)?;
    result!("{}", table::of_split(&summarise(&dataset, split, &predictions)?));
    Ok(())
}
