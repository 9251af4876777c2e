//! The command line: one file a subcommand. Results go to stdout, everything else to stderr.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand};

use crate::error::{Interrupted, UsageError, shown};

mod check;
mod compare;
mod datasets;
mod evaluate;
mod init;
mod inspect;
mod methods;
mod on_split;
mod predict;
mod progress;
mod report;
mod say;
mod start;
mod train;
mod version;

use say::note;

/// Train classifiers that do not rely on spurious correlations.
///
/// A network calls a cow on a beach a camel because it learned the sand. Correct-N-Contrast trains a plain model first,
/// looks at what it gets wrong, then trains a second model whose representations of the same class agree whatever the
/// background. What counts is the accuracy of the worst group, a class on its rare background.
#[derive(Debug, Parser)]
#[command(
    version,
    long_version = version::long(),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  cnc-train digits                                 real digits, built in: ERM, then CNC, then a report
  cnc-train cmnist --method erm --seed 1           the plain model on colourful MNIST
  cnc-train cmnist --set loss=published            as the published code contrasts
  cnc-train my-data/dataset.toml --select average  your own data, without group labels
  cnc-train digits --resume                        go on with a run that was stopped
  cnc-train compare digits --methods erm,cnc,group-dro --seeds 3
  cnc-train inspect runs/digits-erm-0              what its errors go with, and what to do now
  cnc-train predict runs/digits-cnc-0 photos/      what the trained model says of your images"
)]
struct Cli {
    #[command(flatten)]
    train: train::Arguments,
    #[command(subcommand)]
    command: Option<Command>,
    /// Compute threads; no result depends on their number [default: the machine's cores, or RAYON_NUM_THREADS]
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The datasets that are built in, and which of them are on this machine.
    #[command(after_help = "Example:\n  cnc-train datasets")]
    Datasets,
    /// Read and decode all of a dataset, count its rows and groups, warn, train nothing.
    Check(check::Arguments),
    /// A manifest and a recipe for data that have none: look at them, guess, say what is assumed.
    Init(init::Arguments),
    /// Several methods with several seeds: one table, with what the papers report beside it.
    Compare(compare::Arguments),
    /// The group table of a finished run, on any split.
    Evaluate(evaluate::Arguments),
    /// What a finished run's model gets wrong, what that goes with, which labels are doubtful, and what to do now.
    Inspect(inspect::Arguments),
    /// The methods: source, stages, and the labels that each one uses.
    #[command(after_help = "Example:\n  cnc-train methods")]
    Methods,
    /// What a finished run's model says of images or texts of your own, line by line.
    Predict(predict::Arguments),
    /// Rebuild report.html from finished runs, several side by side.
    Report(report::Arguments),
}

/// Run the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(threads) = cli.threads {
        // Nothing has computed yet, so that there is no pool of another size.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
    }
    let outcome = match cli.command {
        None => train::run(&cli.train),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Compare(arguments)) => compare::run(&arguments),
        Some(Command::Datasets) => datasets::run(),
        Some(Command::Init(arguments)) => init::run(&arguments),
        Some(Command::Evaluate(arguments)) => evaluate::run(&arguments),
        Some(Command::Inspect(arguments)) => inspect::run(&arguments),
        Some(Command::Methods) => methods::run(),
        Some(Command::Predict(arguments)) => predict::run(&arguments),
        Some(Command::Report(arguments)) => report::run(&arguments),
    };
    let written = say::failure().map_or(Ok(()), |e| Err(anyhow!("standard output cannot be written: {e}")));
    match outcome.and(written) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {}", shown(&error));
            if error.downcast_ref::<UsageError>().is_some() {
                ExitCode::from(2)
            } else if error.downcast_ref::<Interrupted>().is_some() {
                ExitCode::from(130)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
