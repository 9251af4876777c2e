//! The two kinds of failure that the command line tells apart by exit code.

use cnc_data::{DataError, Remedy};

/// Something in the command or its settings that the user has to change: exit code 2. Every other error is exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The run was stopped by a signal after its state was saved: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error(
    "interrupted at step {step} of stage `{stage}`; everything is saved\n  hint: go on with the same command{}", if *.repeat { "" } else { " and `--resume`" }
)]
pub struct Interrupted {
    /// Stage in which the signal arrived.
    pub stage: String,
    /// Last finished step.
    pub step: u64,
    /// Whether the same command goes on by itself.
    pub repeat: bool,
}

/// An error with its causes, but for those that the text before them tells already, and with the command or option that
/// helps.
#[must_use]
pub(crate) fn shown(error: &anyhow::Error) -> String {
    let text =
        error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
            if text.contains(&cause) { text } else { format!("{text}: {cause}") }
        });
    let remedy = error.chain().find_map(|cause| cause.downcast_ref::<DataError>().and_then(DataError::remedy));
    told(&text, remedy.as_ref())
}

/// What is wrong with data, and how this program calls what helps.
#[must_use]
pub(crate) fn told(problem: &str, remedy: Option<&Remedy>) -> String {
    match remedy {
        Some(Remedy::Fetch { dataset, again }) => {
            let force = if *again { " --force" } else { "" };
            format!("{problem}; fetch it with\n    cargo xtask fetch {dataset}{force}")
        }
        Some(Remedy::AllowCountMismatch) => {
            format!("{problem}\n  hint: --allow-count-mismatch goes on with what is there")
        }
        Some(Remedy::RaiseMaxPixels) => format!("{problem}\n  hint: --max-pixels N reads larger images"),
        Some(Remedy::SkipUnreadable) => {
            format!(
                "{problem}\n  hint: --skip-unreadable leaves out the rows whose images cannot be read, and counts them"
            )
        }
        Some(Remedy::NameColumn) => format!("{problem}\n  hint: --column NAME names another"),
        _ => problem.to_owned(),
    }
}
