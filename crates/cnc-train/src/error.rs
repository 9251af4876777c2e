//! The two kinds of failure that the command line tells apart by exit code.

use cnc_data::strict_toml::nearest;

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

/// The valid name nearest to `name`, as `; did you mean ...?`, or nothing when there is none. Of a dotted name its last
/// part counts as well: `learning_rate` is near `optimizer.learning_rate`.
#[must_use]
pub fn did_you_mean<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let last = |candidate: &'a str| candidate.rsplit('.').next().unwrap_or(candidate);
    let valid: Vec<&str> = valid.into_iter().collect();
    nearest(name, valid.iter().flat_map(|candidate| [candidate, last(candidate)]))
        .and_then(|found| valid.iter().find(|candidate| [**candidate, last(candidate)].contains(&found)))
        .map(|candidate| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// An error with its causes, but for those that the text before them tells already.
#[must_use]
pub fn shown(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}
