//! Weights of others' files (see `fixtures/make_weight_files.py`).

mod damage;
mod exchange;
mod folders;
mod forms;
mod loading;
mod prefixes;
mod reading;

use std::path::PathBuf;

use cnc_models::weights;

/// A file that PyTorch wrote.
fn pth(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pth").join(format!("{name}.pth"))
}

/// Why a file is refused.
fn refusal(name: &str) -> String {
    weights::read(&pth(name), &candle_core::Device::Cpu).unwrap_err().to_string()
}
