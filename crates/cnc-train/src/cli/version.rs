//! What `--version` says: enough for a report of a fault.

use std::sync::LazyLock;

use cnc_nn::InstructionSet;

/// Version, commit, compiled features and the instruction sets of this processor.
pub(super) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let features: Vec<_> = [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))]
            .into_iter()
            .filter_map(|(name, is_built)| is_built.then_some(name))
            .collect();
        let features = if features.is_empty() { "none".to_string() } else { features.join(", ") };
        let sets: Vec<_> = InstructionSet::available().iter().rev().map(ToString::to_string).collect();
        format!(
            "{}\ncommit: {}\nfeatures: {features}\ninstruction sets: {} (in use: {})",
            env!("CARGO_PKG_VERSION"),
            option_env!("CNC_COMMIT").unwrap_or("unknown"),
            sets.join(", "),
            InstructionSet::current(),
        )
    });
    &TEXT
}
