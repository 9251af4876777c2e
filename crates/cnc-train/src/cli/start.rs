//! What every command does before it trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::say::note;

/// Say so where training takes several times as long as it has to.
pub(super) fn warn_of_debug_build() {
    if cfg!(debug_assertions) {
        note!("note: this is a debug build, several times slower; use `cargo run --release`");
    }
}

/// A flag that Ctrl-C and SIGTERM set; a second signal ends the process at once.
pub(super) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note!("\nstopping after this step; press again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
