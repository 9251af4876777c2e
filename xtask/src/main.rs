//! Developer and data chores. They may use the network; the program itself never does.

mod cache;
mod digits;
mod fetch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer and data chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Bring the files of a dataset into the cache of the Hugging Face hub.
    ///
    /// The cache is the one of Python's huggingface_hub: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
    #[command(
        after_help = "Examples:\n  cargo xtask fetch cmnist\n  cargo xtask fetch cmnist --from /media/usb/hub\n  \
                            HF_ENDPOINT=https://hub.example.org cargo xtask fetch my/dataset.toml"
    )]
    Fetch {
        /// A built-in dataset, or the path of a dataset.toml.
        dataset: String,
        /// Copy from here instead of downloading: DIR/datasets/OWNER/NAME/PATH.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Draw datasets/digits/{train,test}.parquet from MNIST again.
    #[command(after_help = "Example:\n  cargo xtask fetch cmnist && cargo xtask digits")]
    Digits,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Fetch { dataset, from } => fetch::run(&dataset, from.as_deref()),
        Chore::Digits => digits::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
