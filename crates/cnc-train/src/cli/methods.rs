//! `cnc-train methods`

use anyhow::Result;

use super::say::result;
use crate::config::selection::Selection;
use crate::methods::METHODS;

/// Print what is known of each method.
pub(super) fn run() -> Result<()> {
    for method in METHODS {
        result!("{:<10} {} ({})", method.name, method.title, method.source);
        result!("           stages: {}", method.stages.join(", then "));
        result!("           labels: {}", method.label_budget(Selection::WorstGroup));
        result!("           with any other --select: {}", method.label_budget(Selection::Average));
    }
    Ok(())
}
