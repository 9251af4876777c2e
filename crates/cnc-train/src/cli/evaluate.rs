//! `cnc-train evaluate`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cnc_data::SplitName;

use super::progress;
use super::say::result;
use crate::config::{device, manifest};
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::report::table;
use crate::run::data;
use crate::training::evaluate::{View, predict, summarise};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train evaluate runs/digits-cnc-0
  cnc-train evaluate runs/digits-cnc-0 --split validation")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to evaluate.
    #[arg(long, value_parser = PossibleValuesParser::new(SplitName::ALL.map(SplitName::as_str)).try_map(|name| split(&name)), default_value = "test")]
    split: SplitName,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

fn split(name: &str) -> Result<SplitName, String> {
    SplitName::ALL.into_iter().find(|split| split.as_str() == name).ok_or_else(|| name.to_owned())
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let run = FinishedRun::open(&arguments.run)?;
    let mut config = run.config()?;
    let device = device::open(&arguments.device)?;
    let manifest = manifest::open(&config.dataset)?;
    if manifest.is_text() {
        // The run has a copy of the tokenizer.
        config.data.tokenizer = Some(arguments.run.clone());
    }
    let dataset = data::open(&config.data, manifest, config.limit, config.seed, &progress::listener())?;
    let model = run.model(&Known::default(), dataset.classes.len(), &device)?;
    let split = match arguments.split {
        SplitName::Train => &dataset.train,
        SplitName::Validation => &dataset.validation,
        SplitName::Test => &dataset.test,
    };
    let predictions = predict(&*model, split, View::Centre, &device)?;
    result!("{}", table::of_split(&summarise(&dataset, split, &predictions.classes)?));
    Ok(())
}
