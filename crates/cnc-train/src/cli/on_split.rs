//! A finished run on a split of its data: what `evaluate` and `inspect` are asked for.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cnc_data::SplitName;
use cnc_models::Model;

use super::progress;
use crate::config::device;
use crate::config::selection::Selection;
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::run::reopen::{Reopened, reopen};

/// Which run, and which split.
#[derive(Debug, Args)]
pub(super) struct OnSplit {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to look at.
    #[arg(long, value_parser = PossibleValuesParser::new(SplitName::ALL.map(SplitName::as_str)).try_map(|name| split(&name)), default_value = "test")]
    pub(super) split: SplitName,
    /// The dataset's files are in this folder; that of the manifest, where the dataset is not built in.
    #[arg(long = "data", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

/// A run with its data and its model.
pub(super) struct OpenedRun {
    pub(super) run: FinishedRun,
    pub(super) data: Reopened,
    pub(super) model: Box<dyn Model>,
    pub(super) device: Device,
}

fn split(name: &str) -> Result<SplitName, String> {
    SplitName::ALL.into_iter().find(|split| split.as_str() == name).ok_or_else(|| name.to_owned())
}

impl OnSplit {
    /// Open the run, with the checkpoint that a rule would have chosen where one is given, its data and its model.
    pub(super) fn open(&self, select: Option<Selection>) -> Result<OpenedRun> {
        let run = FinishedRun::open(&self.run)?.by(select)?;
        let device = device::open(&self.device)?;
        let data = reopen(&run, self.folder.as_deref(), &progress::listener())?;
        let model = run.model(&Known::default(), data.dataset.classes.len(), &device)?;
        Ok(OpenedRun { run, data, model, device })
    }
}
