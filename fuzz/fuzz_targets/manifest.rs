//! `dataset.toml`: anything, but a panic.
#![no_main]

mod file;

use cnc_data::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file::write("dataset.toml", bytes);
    if let Ok(manifest) = Manifest::open(&path.display().to_string()) {
        assert!(manifest.classes().len() >= 2, "a manifest with one class passed its checks");
    }
});
