//! `cnc-train report`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use cnc_base::files::write_atomically;

use super::say::result;
use crate::record::{FinishedRun, RecordError};
use crate::report::{RunView, render};

/// Which runs, and where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train report runs/digits-cnc-0                                    rebuild its report.html
  cnc-train report runs/cmnist-erm-0 runs/cmnist-cnc-0 --out both.html  two runs side by side")]
pub(super) struct Arguments {
    /// Folders of finished runs.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The file to write; report.html in the first run's folder otherwise.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Read the runs and write the page.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let view = |folder: &PathBuf| RunView::of(&FinishedRun::open(folder)?);
    let views: Vec<RunView> = arguments.runs.iter().map(view).collect::<Result<_, RecordError>>()?;
    let first = arguments.runs.first().context("no run was given")?;
    let path = arguments.out.clone().unwrap_or_else(|| first.join("report.html"));
    write_atomically(&path, render(&views).as_bytes())?;
    result!("{}", path.display());
    Ok(())
}
