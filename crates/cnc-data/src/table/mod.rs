//! Tables of rows, whatever file they come from.

mod column;
mod guarded;
pub mod jsonl;
mod pages;
pub mod parquet;
pub(crate) mod source;
pub mod stream;
pub mod text;
mod texts;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

pub use column::Reading;
pub use texts::Texts;

use crate::DataError;

/// One cell of a column that says something about a row: its class, its attribute, its split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// A whole number, or a truth value as 0 or 1.
    Integer(i64),
    /// Text.
    Text(String),
}

impl Cell {
    /// A whole number where the text is one as it is written here; `007` is text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(value) if value.to_string() == text => Self::Integer(value),
            _ => Self::Text(text.to_string()),
        }
    }

    /// What [`Cell::from_text`] was given.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The same value as another file may write it: a number as text, `True` as 1, `1.0` as 1.
    #[must_use]
    pub fn other_form(&self) -> Option<Self> {
        match self {
            Self::Integer(value) => Some(Self::Text(value.to_string())),
            Self::Text(text) => match text.trim() {
                "true" | "True" | "TRUE" => Some(Self::Integer(1)),
                "false" | "False" | "FALSE" => Some(Self::Integer(0)),
                number => {
                    let value = number.parse::<f64>().ok()?;
                    (value.fract() == 0.0 && value.abs() < 9e15).then_some(Self::Integer(value as i64))
                }
            },
        }
    }
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

    /// All bytes of the file.
    pub(crate) fn read(&self) -> Result<Cow<'static, [u8]>, DataError> {
        match &self.location {
            Location::Embedded(bytes) => Ok(Cow::Borrowed(bytes)),
            Location::Disk(path) => std::fs::read(path).map(Cow::Owned).map_err(|e| DataError::File {
                file: self.name.clone(),
                problem: format!("cannot be opened ({e}); {}", self.remedy),
            }),
        }
    }
}
