//! Where the rows of a split come from, for whoever wants to see one in its file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::SplitRows;
use super::table::Table;
use crate::manifest::SplitName;
use crate::row_place::{RowPlace, RowPlaces};
use crate::table::Cell;

/// The files of a dataset.
pub(crate) type Files = Arc<[SourceFile]>;

/// A file of rows, as it is remembered when its table is gone.
#[derive(Debug)]
pub(crate) struct SourceFile {
    name: String,
    /// Where it is; none where it comes with the program.
    path: Option<PathBuf>,
    places: RowPlaces,
    /// The names of the images that its rows name; empty where they name none.
    images: Vec<String>,
}

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
    /// The image that it names, where images are files of their own.
    pub image: Option<&'a str>,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = self.image {
            write!(f, "{image} (")?;
        }
        write!(f, "{}, {}{}", self.file, self.place, if self.image.is_some() { ")" } else { "" })
    }
}

impl SplitRows {
    /// The files, before their tables are read for their texts; `images` is the column that images are in, or their names.
    pub(crate) fn files(&self, images: Option<&str>) -> Files {
        let names = |table: &Table| {
            let column = images.filter(|column| table.with_images(column).is_none())?;
            Some(table.cells(column).ok()?.iter().map(Cell::text).collect())
        };
        let file = |table: &Table| SourceFile {
            images: names(table).unwrap_or_default(),
            name: table.name().to_string(),
            path: table.path().map(Path::to_path_buf),
            places: table.places(),
        };
        self.files.iter().map(file).collect()
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
        let (file, row) = self.place(row)?;
        let file = self.files.get(file as usize)?;
        let image = file.images.get(row as usize).map(String::as_str);
        Some(Source { file: &file.name, place: file.places.of(row as usize), image })
    }

    /// The file and the row in it of a row of the split.
    pub(crate) fn place(&self, row: u32) -> Option<(u32, u32)> {
        self.rows.get(row as usize / self.copies.max(1)).copied()
    }

    /// The files that rows of the split are in, with their numbers, as far as they are on disk.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (u32, &Path)> {
        let used: BTreeSet<u32> = self.rows.iter().map(|(file, _)| *file).collect();
        used.into_iter().filter_map(|file| Some((file, self.files.get(file as usize)?.path.as_deref()?)))
    }
}
