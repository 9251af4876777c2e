//! `cnc-train evaluate`

use anyhow::Result;
use clap::Args;

use super::on_split::{OnSplit, OpenedRun};
use super::say::result;
use crate::config::selection::Selection;
use crate::report::table;
use crate::training::evaluate::{View, predict, summarise};

/// Which run, which split, and which of its checkpoints.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train evaluate runs/digits-cnc-0
  cnc-train evaluate runs/digits-cnc-0 --split validation
  cnc-train evaluate runs/digits-cnc-0 --select average
  cnc-train evaluate elsewhere/birds-cnc-0 --data my-data")]
pub(super) struct Arguments {
    #[command(flatten)]
    on: OnSplit,
    /// The checkpoint that this rule would have chosen [default: the run's own rule]
    #[arg(long, value_name = "RULE", value_enum)]
    select: Option<Selection>,
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let OpenedRun { data, model, device, .. } = arguments.on.open(arguments.select)?;
    let split = data.dataset.split(arguments.on.split);
    let predictions = predict(&*model, split, View::Centre, &device)?;
    result!("{}", table::of_split(&summarise(&data.dataset, split, &predictions)?));
    Ok(())
}
