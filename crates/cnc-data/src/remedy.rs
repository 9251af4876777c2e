//! What helps against an error, apart from how a program calls it.

use std::fmt;

/// What whoever gets an error can do about it. A program that knows more says it in its own words, with its own commands and
/// options; as text it is what a library can say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Copy the file again, or correct the path that leads to it.
    CopyAgain,
    /// Install the program again, which the file is part of.
    InstallAgain,
    /// Fetch the files of a dataset from the hub.
    Fetch {
        /// Built-in name, or path of a manifest.
        dataset: String,
        /// Whether a file is here that is not whole.
        again: bool,
    },
    /// Set [`OpenOptions::allow_count_mismatch`](crate::OpenOptions::allow_count_mismatch).
    AllowCountMismatch,
    /// Set a larger [`OpenOptions::max_pixels`](crate::OpenOptions::max_pixels).
    RaiseMaxPixels,
    /// Set [`OpenOptions::skip_unreadable`](crate::OpenOptions::skip_unreadable).
    SkipUnreadable,
    /// Name another column of the texts.
    NameColumn,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CopyAgain => "copy it again, or correct the path in the manifest",
            Self::InstallAgain => "this program is damaged: install it again",
            Self::Fetch { again: false, .. } => "fetch it",
            Self::Fetch { again: true, .. } => "remove it and fetch it again",
            Self::AllowCountMismatch => "allow other numbers of rows to go on with what is there",
            Self::RaiseMaxPixels => "make it smaller, or raise the limit",
            Self::SkipUnreadable => "leave out the rows whose images cannot be read",
            Self::NameColumn => "name another column",
        })
    }
}
