//! Where the rows of a split come from, for whoever wants to see one in its file.

use std::fmt;
use std::sync::Arc;

use super::read::SplitRows;
use crate::manifest::SplitName;
use crate::row_place::{RowPlace, RowPlaces};

/// The names of a dataset's files, and the places of their rows.
pub(crate) type Files = Arc<[(String, RowPlaces)]>;

/// The file and the row in it of each row of a split.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    files: Files,
    rows: Vec<(u32, u32)>,
    /// Rows of the split that each row of a file becomes.
    copies: usize,
}

/// Where a sample comes from: its file and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source<'a> {
    /// The file of rows, as messages call it.
    pub file: &'a str,
    /// Where the row stands in it.
    pub place: RowPlace,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.file, self.place)
    }
}

impl SplitRows {
    /// The files, before their tables are read for their texts.
    pub(crate) fn files(&self) -> Files {
        self.files.iter().map(|table| (table.name().to_string(), table.places())).collect()
    }

    /// Where the rows of a split come from.
    pub(crate) fn sources(&self, split: SplitName, files: &Files) -> Sources {
        let [train, validation, test] = &self.splits;
        let rows = match split {
            SplitName::Train => train,
            SplitName::Validation => validation,
            SplitName::Test => test,
        };
        let place = |row: &super::Row| (row.file as u32, row.row as u32);
        Sources { files: Arc::clone(files), rows: rows.rows.iter().map(place).collect(), copies: rows.copies() }
    }
}

impl Sources {
    pub(crate) fn of(&self, row: u32) -> Option<Source<'_>> {
        let (file, row) = *self.rows.get(row as usize / self.copies.max(1))?;
        let (name, places) = self.files.get(file as usize)?;
        Some(Source { file: name, place: places.of(row as usize) })
    }
}
