//! `cnc-train compare`: methods times seeds, a folder each, and the table of all.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::progress;
use super::say::result;
use super::start::{stop_on_signal, warn_of_debug_build};
use crate::compare::{Plan, render};
use crate::config::asked::Options;
use crate::config::manifest;

/// What to compare, and where to put it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train compare digits --methods erm,cnc,group-dro --seeds 3
  cnc-train compare cmnist --methods erm,lff,jtt,eiil,cnc,group-dro --seeds 3 --out runs/table
  cnc-train compare digits --methods jtt,rwg --set jtt.upweight=50 --set steps=500
  cnc-train compare digits --methods group-dro --grid step_size=0.01,0.1

A setting goes to every method that has it, or to the one that is named before it (jtt.upweight). The same command goes on
where it was stopped; what is finished is not trained again.")]
pub(super) struct Arguments {
    /// Name of a built-in dataset (see `cnc-train datasets`), or path of a manifest of your own.
    dataset: String,
    /// Methods (see `cnc-train methods`), separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    methods: Vec<String>,
    /// Number of seeds: 0, 1, and so on.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Folder of the comparison; each run has one in it [default: runs/compare-<dataset>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Try every combination of values and keep, for each method, the best on validation: --grid temperature=0.05,0.1
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    grid: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// Train what is missing, and print the table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    warn_of_debug_build();
    let manifest = manifest::open(&arguments.dataset)?;
    let folder =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("compare-{}", manifest.name())));
    let plan = Plan {
        dataset: &arguments.dataset,
        methods: &arguments.methods,
        seeds: arguments.seeds,
        grid: &arguments.grid,
        options: &arguments.options,
        folder: &folder,
    };
    let comparison = plan.run(&progress::listener(), &stop_on_signal()?)?;
    render::write(&comparison, &folder)?;
    result!("{}", render::text(&comparison));
    result!("the same as CSV, Markdown, HTML and JSON: {}", folder.join("compare.*").display());
    Ok(())
}
