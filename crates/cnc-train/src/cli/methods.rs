//! `cnc-train methods`

use anyhow::Result;

use crate::methods::METHODS;
use crate::selection::Selection;

/// Print what is known of each method.
pub(super) fn run() -> Result<()> {
    for method in METHODS {
        println!("{:<10} {} ({})", method.name, method.title, method.source);
        println!("           stages: {}", method.stages.join(", then "));
        println!("           labels: {}", method.label_budget(Selection::WorstGroup));
        println!("           with --select worst-class or average: {}", method.label_budget(Selection::Average));
    }
    Ok(())
}
