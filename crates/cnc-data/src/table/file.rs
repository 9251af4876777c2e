//! Where the bytes of a table are.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::DataError;
use crate::remedy::Remedy;

/// A file of a dataset: where its bytes are, and what a message about it says.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Names the file in messages.
    pub name: String,
    /// Where its bytes are.
    pub location: Location,
    /// What helps when the bytes are not right.
    pub remedy: Remedy,
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
        Self { name: path.display().to_string(), location: Location::Disk(path), remedy: Remedy::CopyAgain }
    }

    /// All bytes of the file.
    pub(crate) fn read(&self) -> Result<Cow<'static, [u8]>, DataError> {
        match &self.location {
            Location::Embedded(bytes) => Ok(Cow::Borrowed(bytes)),
            Location::Disk(path) => {
                std::fs::read(path).map(Cow::Owned).map_err(|e| self.damaged(format!("cannot be opened ({e})")))
            }
        }
    }

    /// An error about its bytes.
    pub(crate) fn damaged(&self, problem: String) -> DataError {
        DataError::Damaged { file: self.name.clone(), problem, remedy: self.remedy.clone() }
    }
}
