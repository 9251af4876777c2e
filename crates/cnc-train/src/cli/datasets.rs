//! `cnc-train datasets`

use anyhow::Result;
use cnc_data::{DataError, HubCache, Manifest, builtin};

use super::say::result;

/// Print the built-in datasets and whether their data is here.
pub(super) fn run() -> Result<()> {
    let hub = HubCache::from_env();
    for name in builtin::names() {
        match Manifest::open(name)?.is_present(&hub) {
            Ok(()) => result!("{name:<14} on this machine"),
            Err(DataError::NotFetched { .. }) => result!("{name:<14} not on this machine: cargo xtask fetch {name}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
