//! Tables of rows, whatever file they come from.

mod guarded;
pub mod parquet;

use std::fmt;
use std::path::PathBuf;

/// One cell of a column that says something about a row: its class, its attribute, its split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// A whole number, or a truth value as 0 or 1.
    Integer(i64),
    /// Text.
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// A file of a dataset: where its bytes are, and what a message about it says.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Names the file in messages.
    pub name: String,
    /// Where its bytes are.
    pub location: Location,
    /// What to do when the bytes are not right; ends a message.
    pub remedy: String,
}

/// Where the bytes of a [`DataFile`] are.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a file.
    Disk(PathBuf),
    /// In the program.
    Embedded(&'static [u8]),
}

impl DataFile {
    /// A file of the user's own.
    #[must_use]
    pub fn local(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            name: path.display().to_string(),
            location: Location::Disk(path),
            remedy: "copy it again, or correct the path in the manifest".to_string(),
        }
    }
}
