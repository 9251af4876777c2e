//! Developer and data chores. They may use the network; the program itself never does.

#![forbid(unsafe_code)]

mod cache;
mod connection;
mod content;
mod digits;
mod dist;
mod fetch;
mod listing;
mod progress;
mod repository;
mod settings;
mod synth;
mod transfer;
mod verify;

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
    /// Bring the files of a dataset and of the model that it starts from, or of a model, into the cache of the Hugging
    /// Face hub.
    ///
    /// The cache is the one of Python's huggingface_hub: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
    /// HF_ENDPOINT names another hub, HF_TOKEN (or HF_HOME/token, or the file HF_TOKEN_PATH) opens gated repositories,
    /// HF_HUB_OFFLINE forbids connections, HF_HUB_DOWNLOAD_TIMEOUT is the seconds without a byte after which a
    /// connection is given up, and HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured. What is here is not asked for
    /// again; an interrupted download goes on where it stopped.
    #[command(
        after_help = "Examples:\n  cargo xtask fetch cmnist\n  cargo xtask fetch waterbirds\n  cargo xtask fetch google-bert/bert-base-uncased\n  \
                            cargo xtask fetch cmnist --list\n  cargo xtask fetch cmnist --from /media/usb/hub\n  \
                            HF_ENDPOINT=https://hub.example.org cargo xtask fetch my/dataset.toml"
    )]
    Fetch {
        /// A built-in dataset, the path of a dataset.toml, or OWNER/NAME of a model repository.
        #[arg(value_name = "DATASET|MODEL")]
        what: String,
        /// Copy from here instead of downloading: DIR/datasets/OWNER/NAME/PATH, DIR/models/OWNER/NAME/PATH.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Fetch again what is here, and what a branch has now; each file is replaced once the new one is complete.
        #[arg(long)]
        force: bool,
        /// Show the files, their sizes and what is here; fetch nothing.
        #[arg(long, conflicts_with_all = ["from", "force", "verify"])]
        list: bool,
        /// Read again what is here and compare it with what the hub said of it; fetch nothing.
        #[arg(long, conflicts_with_all = ["from", "force"])]
        verify: bool,
    },
    /// Draw pictures or comments in the place of a dataset, in the layout of its authors and in that of the hub.
    ///
    /// DIR itself has the authors' files, for `cnc-train DATASET --data DIR`, and a dataset.toml for `cnc-train
    /// DIR/dataset.toml`; DIR/datasets has the hub's, for `cargo xtask fetch DATASET --from DIR`. Groups have their real
    /// proportions. With the built-in dataset, other numbers than the real ones need --allow-count-mismatch.
    #[command(after_help = "Examples:\n  cargo xtask synth waterbirds --out birds --size 1000\n  \
                            cargo xtask synth waterbirds --out small --full --side 64 --seed 1\n  \
                            cargo xtask synth celeba --out faces --full\n  \
                            cargo xtask synth civilcomments --out comments --size 20000")]
    Synth {
        /// The dataset.
        dataset: synth::Drawn,
        /// A new folder.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Training rows; the other splits follow in proportion.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        size: usize,
        /// Of the rows and what is drawn.
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// As many rows as the real dataset has.
        #[arg(long, conflicts_with = "size")]
        full: bool,
        /// Pixels of each side of a picture, here and in dataset.toml [default: as the real ones]
        #[arg(long, value_name = "PIXELS")]
        side: Option<usize>,
    },
    /// Draw datasets/digits/{train,test}.parquet from MNIST again.
    #[command(after_help = "Example:\n  cargo xtask fetch cmnist && cargo xtask digits")]
    Digits,
    /// Build `cnc-train` as one file for other machines, into dist/.
    #[command(after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist --target x86_64-unknown-linux-musl")]
    Dist {
        /// Another platform, whose Rust target and C compiler are installed.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Fetch { what, list: true, .. } => fetch::list(&what),
        Chore::Fetch { what, verify: true, .. } => fetch::verify(&what),
        Chore::Fetch { what, from, force, .. } => fetch::run(&what, from.as_deref(), force),
        Chore::Synth { dataset, out, size, seed, full, side } => {
            synth::run(dataset, &out, &synth::Amount { size: (!full).then_some(size), seed, side })
        }
        Chore::Digits => digits::run(),
        Chore::Dist { target } => dist::run(target.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
