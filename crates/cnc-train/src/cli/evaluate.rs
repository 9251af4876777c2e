//! `cnc-train evaluate`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::open_manifest;
use crate::evaluate::{View, predict, summarise};
use crate::say::result;
use crate::trained::Trained;
use crate::{device, table};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train evaluate runs/digits-cnc-0
  cnc-train evaluate runs/digits-cnc-0 --split validation")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to evaluate.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let trained = Trained::open(&arguments.run)?;
    let mut config = trained.config.clone();
    let device = device::open(&arguments.device)?;
    let manifest = open_manifest(&config.dataset)?;
    if trained.is_text() {
        // The run has a copy of the tokenizer.
        config.data.tokenizer = Some(arguments.run.clone());
    }
    let dataset = config.data.open(manifest, config.limit, config.seed)?;
    let model = trained.model(dataset.classes.len(), &device)?;
    let split = match arguments.split {
        SplitName::Train => &dataset.train,
        SplitName::Validation => &dataset.validation,
        SplitName::Test => &dataset.test,
    };
    let predictions = predict(&*model, split, View::Centre, &device)?;
    result!("{}", table::of_split(&summarise(&dataset, split, &predictions.classes)?));
    Ok(())
}
