//! `cnc-train evaluate`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cnc_data::{Manifest, SplitName};

use super::progress;
use super::say::{note, result};
use crate::config::run_config::RunConfig;
use crate::config::selection::Selection;
use crate::config::{device, manifest};
use crate::error::shown;
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::report::table;
use crate::run::data;
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

fn split(name: &str) -> Result<SplitName, String> {
    SplitName::ALL.into_iter().find(|split| split.as_str() == name).ok_or_else(|| name.to_owned())
}

/// The manifest of a run's dataset, which may have moved to `folder` with its files.
fn manifest_of(config: &mut RunConfig, folder: Option<&Path>) -> Result<Manifest> {
    let Some(folder) = folder else {
        return manifest::open(&config.dataset).map_err(|error| {
            anyhow!("{}\n  hint: --data DIR names the folder that the dataset is in now", shown(&error))
        });
    };
    let moved = Path::new(&config.dataset).file_name().map(|name| folder.join(name)).filter(|path| path.is_file());
    match moved {
        Some(path) => {
            config.data.folder = None;
            manifest::open(&path.display().to_string())
        }
        None => {
            config.data.folder = Some(folder.to_owned());
            manifest::open(&config.dataset)
        }
    }
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let run = FinishedRun::open(&arguments.run)?.by(arguments.select)?;
    let mut config = run.config()?;
    let device = device::open(&arguments.device)?;
    let manifest = manifest_of(&mut config, arguments.folder.as_deref())?;
    if manifest.is_text() {
        // The run has a copy of the tokenizer.
        config.data.tokenizer = Some(arguments.run.clone());
    }
    let dataset = data::open(&config.data, manifest, config.limit, config.seed, false, &progress::listener())?;
    for (split, rows) in config.on(&dataset).rows {
        if let Some(then) = config.rows.get(&split).filter(|then| **then != rows) {
            note!("warning: the {split} split is not that of the run: {rows} now, {then} then");
        }
    }
    let model = run.model(&Known::default(), dataset.classes.len(), &device)?;
    let split = match arguments.split {
        SplitName::Train => &dataset.train,
        SplitName::Validation => &dataset.validation,
        SplitName::Test => &dataset.test,
    };
    let predictions = predict(&*model, split, View::Centre, &device)?;
    result!("{}", table::of_split(&summarise(&dataset, split, &predictions)?));
    Ok(())
}
