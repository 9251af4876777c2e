//! `cnc-train <dataset>`: one run, from data to report.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::progress;
use super::say::result;
use super::start::{stop_on_signal, warn_of_debug_build};
use crate::compare::search::{combinations, folder_name, list};
use crate::compare::series::{Planned, best_of};
use crate::config::asked::Asked;
use crate::config::manifest;
use crate::error::UsageError;
use crate::methods::Known;
use crate::record::FinishedRun;
use crate::report::table;
use crate::run::configure;
use crate::run::job::Job;
use crate::run::source::Source;

/// What to train, and where to put it.
#[derive(Debug, Clone, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) asked: Asked,
    /// Folder of the run [default: runs/<dataset>-<method>-<seed>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Settings from a file, for example the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with the run in the folder.
    #[arg(long)]
    resume: bool,
    /// Train with every combination of values and keep the best on validation: --grid temperature=0.05,0.1
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    pub(super) grid: Vec<String>,
}

/// Put together what the command line, a configuration file and the recipe say.
fn configure(arguments: &Arguments) -> Result<(Job, Source)> {
    let (file, origin) = match &arguments.config {
        None => (Asked::default(), String::new()),
        Some(path) => (Asked::read(path)?, path.display().to_string()),
    };
    let asked = arguments.asked.clone().or(file);
    let dataset = asked.dataset.as_deref();
    let dataset = dataset.ok_or_else(|| UsageError("no dataset: name one, or give a --config that does".to_owned()))?;
    let source = Source::Manifest(Box::new(manifest::open(dataset)?));
    let job = configure::configure(asked, &origin, &source, &Known::default())?;
    Ok((job, source))
}

/// Train.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    warn_of_debug_build();
    let run = if arguments.grid.is_empty() { train(arguments) } else { best_of_grid(arguments) }?;
    result!("{}", table::text(run.results()?));
    result!("report: {}", run.folder().join("report.html").display());
    Ok(())
}

fn train(arguments: &Arguments) -> Result<FinishedRun> {
    let (job, source) = configure(arguments)?;
    let listener = progress::listener();
    let opened = job.open(&source, &listener)?;
    job.start(&opened, arguments.out.clone(), arguments.resume, listener, stop_on_signal()?)
}

/// Train every combination, print the table of all, and give the best.
fn best_of_grid(arguments: &Arguments) -> Result<FinishedRun> {
    let sets = combinations(&arguments.grid)?;
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None => {
            let (job, source) = configure(arguments)?;
            PathBuf::from(format!("{}-grid", job.config.default_folder(source.name()).display()))
        }
    };
    // All settings are checked before the first run starts.
    let planned = |set: Vec<String>| {
        let mut arguments = arguments.clone();
        arguments.asked.options.set.extend(set.iter().cloned());
        let (job, source) = configure(&arguments)?;
        Ok((Planned { job, source, path: folder.join(folder_name(&set)) }, set))
    };
    let planned: Vec<(Planned, Vec<String>)> = sets.into_iter().map(planned).collect::<Result<_>>()?;
    let (run, trials) = best_of(planned, &folder, &progress::listener(), &stop_on_signal()?)?;
    result!("{}", list(&trials));
    Ok(run)
}
