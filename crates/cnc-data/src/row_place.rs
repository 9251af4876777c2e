//! Where a row stands in its file, as whoever opens the file finds it.

use std::fmt;
use std::sync::Arc;

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RowPlace {
    /// The line of a text file that the row begins in, from 1, as editors count: the header is one too.
    Line(u32),
    /// The row of a file without lines, such as parquet, from 0, as pandas and pyarrow count.
    Row(u32),
}

impl RowPlace {
    /// A row of a file without lines, from 0.
    pub(crate) fn row(row: usize) -> Self {
        Self::Row(u32::try_from(row).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row} (the first is 0)"),
        }
    }
}

/// The places of all rows of a file.
#[derive(Debug, Clone)]
pub(crate) enum RowPlaces {
    Lines(Arc<[u32]>),
    Rows,
}

impl RowPlaces {
    pub(crate) fn of(&self, row: usize) -> RowPlace {
        match self {
            Self::Lines(lines) => lines.get(row).map_or(RowPlace::row(row), |line| RowPlace::Line(*line)),
            Self::Rows => RowPlace::row(row),
        }
    }
}
