//! `cnc-train init`: a manifest and a recipe for data that have none.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::say::result;
use crate::init::{self, Wishes};

/// Which data, and what is known of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train init photos/                           a folder of images for each class, or a table beside images
  cnc-train init reviews.csv --class stars         a table of texts
  cnc-train init birds/ --attribute place          with a column of what may tempt a model
  cnc-train init photos/ --dry-run                 see what would be written")]
pub(super) struct Arguments {
    /// A folder with a folder of images for each class (perhaps within train, validation, test), a folder with a table, or a table: CSV,
    /// JSON Lines, parquet.
    data: PathBuf,
    #[command(flatten)]
    wishes: Wishes,
    /// Show what would be written; write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Look, say what is assumed, write.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let plan = init::plan(&arguments.data, &arguments.wishes)?;
    for assumption in &plan.assumed {
        result!("{:<10} {:<16} {}", assumption.of, assumption.taken, assumption.seen);
    }
    for warning in &plan.warnings {
        result!("warning: {warning}");
    }
    if arguments.dry_run {
        for (name, text) in &plan.files {
            result!("\n--- {} ---\n{text}", plan.folder.join(name).display());
        }
        return Ok(());
    }
    for path in plan.write()? {
        result!("written: {}", path.display());
    }
    let run = format!("runs/{}-cnc-0", plan.name);
    let data = plan.folder.display();
    result!("\nNext:");
    for (command, why) in [
        (format!("check {data}"), "what is in it, every row read"),
        (data.to_string(), "ERM, then CNC, then a report"),
        (format!("predict {run} NEW"), "what the trained model says of new inputs"),
    ] {
        result!("  {:<44} {why}", format!("cnc-train {command}"));
    }
    Ok(())
}
