//! The finished run whose model a method begins with, in the place of a first stage of its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::network::WEIGHTS;

/// What is known of the run that an encoder is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EncoderRun {
    /// Its method.
    pub(crate) method: String,
    /// Its method's name for people.
    pub(crate) title: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// Which group labels it used.
    pub(crate) label_budget: String,
}

impl EncoderRun {
    /// The weights of its model, as `--init` takes them.
    #[must_use]
    pub(crate) fn init(folder: &Path, is_text: bool) -> PathBuf {
        if is_text { folder.to_owned() } else { folder.join(WEIGHTS) }
    }

    /// The label budget of a run that goes on from it.
    #[must_use]
    pub(crate) fn joined(&self, own: &str) -> String {
        format!("{own}; the encoder, of {} with seed {}: {}", self.method, self.seed, self.label_budget)
    }
}
