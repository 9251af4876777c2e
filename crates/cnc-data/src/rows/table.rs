//! One file of a dataset's rows, of whichever kind.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use crate::manifest::{Attribute, Content, Manifest, Rule};
use crate::row_place::{RowPlace, RowPlaces};
use crate::table::parquet::ParquetFile;
use crate::table::text::{TextForm, TextTable};
use crate::table::{Cell, DataFile, Location, Reading, Texts, jsonl};
use crate::{DataError, HubCache};

/// A file of rows.
pub(crate) enum Table {
    Parquet(Box<ParquetFile>),
    Text(Box<Joined>),
}

/// A text table, and another one with further columns of its rows.
pub(crate) struct Joined {
    table: TextTable,
    other: Option<(TextTable, Vec<usize>)>,
}

impl Table {
    pub(crate) fn open(manifest: &Manifest, file: DataFile, hub: &HubCache) -> Result<Self, DataError> {
        let extension = match &file.location {
            Location::Embedded(_) => "parquet".to_string(),
            Location::Disk(path) => path.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
        };
        if extension == "parquet" {
            return Ok(Self::Parquet(Box::new(ParquetFile::open(file)?)));
        }
        let layout = &manifest.layout;
        let first = layout.input.column.as_str();
        let wanted = wanted(manifest);
        let table = match extension.as_str() {
            "jsonl" | "ndjson" => jsonl::open(file, &wanted)?,
            _ => TextTable::open(file, &wanted, TextForm { first, names: None })?,
        };
        let Some(join) = &layout.join else { return Ok(Self::Text(Box::new(Joined { table, other: None }))) };
        let mut files = manifest.locate(&join.file, hub)?;
        let (Some(file), true) = (files.pop(), files.is_empty()) else {
            return Err(manifest.error("join.file", format!("{} must stand for one file", join.file)));
        };
        let other = TextTable::open(file, &wanted, TextForm { first, names: join.columns.as_deref() })?;
        let rows = matching(&table, &other, first)?;
        Ok(Self::Text(Box::new(Joined { table, other: Some((other, rows)) })))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Parquet(file) => file.name(),
            Self::Text(joined) => joined.table.name(),
        }
    }

    /// The file that holds the images of a column itself, and not the names of their files.
    pub(crate) fn with_images(&self, column: &str) -> Option<&ParquetFile> {
        match self {
            Self::Parquet(file) => (!file.holds_text(column)).then_some(file),
            Self::Text(_) => None,
        }
    }

    /// All cells of a column of integers, truth values or text.
    pub(crate) fn cells(&self, column: &str) -> Result<Vec<Cell>, DataError> {
        match self {
            Self::Parquet(file) => file.cells(column),
            Self::Text(joined) => match &joined.other {
                Some((other, rows)) if other.has(column) && !joined.table.has(column) => {
                    let cells = other.cells(column)?;
                    Ok(rows.iter().filter_map(|row| cells.get(*row).cloned()).collect())
                }
                _ => joined.table.cells(column).map(<[Cell]>::to_vec),
            },
        }
    }

    /// All numbers of a column; a row may have none.
    pub(crate) fn numbers(&self, column: &str) -> Result<Cow<'_, [Option<f64>]>, DataError> {
        match self {
            Self::Parquet(file) => file.numbers(column).map(Cow::Owned),
            Self::Text(joined) => joined.table.numbers(column).map(Cow::Borrowed),
        }
    }

    /// All texts of a column; the table is not needed any more.
    pub(crate) fn into_texts(self, column: &str) -> Result<Texts, DataError> {
        match self {
            Self::Parquet(file) => file.texts(column),
            Self::Text(joined) => joined.table.into_texts(column),
        }
    }

    /// An error about one cell.
    pub(crate) fn row_error(&self, row: usize, column: &str, problem: String) -> DataError {
        if let Self::Text(joined) = self
            && let Some((other, rows)) =
                joined.other.as_ref().filter(|(other, _)| other.has(column) && !joined.table.has(column))
            && let Some(row) = rows.get(row)
        {
            return other.row_error(*row, column, problem);
        }
        let (file, column) = (self.name().to_string(), column.to_string());
        DataError::Row { file, place: self.place(row), column, problem }
    }

    /// Where it is; none where it comes with the program.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Parquet(file) => file.path(),
            Self::Text(joined) => joined.table.path(),
        }
    }

    /// Where a row stands.
    pub(crate) fn place(&self, row: usize) -> RowPlace {
        match self {
            Self::Parquet(_) => RowPlace::row(row),
            Self::Text(joined) => joined.table.place(row),
        }
    }

    /// Where its rows stand, for when the table is gone.
    pub(crate) fn places(&self) -> RowPlaces {
        match self {
            Self::Parquet(_) => RowPlaces::Rows,
            Self::Text(joined) => joined.table.places_of_rows(),
        }
    }
}

/// The columns that a manifest needs of a table, and as what.
fn wanted(manifest: &Manifest) -> Vec<(&str, Reading)> {
    let layout = &manifest.layout;
    let input = match manifest.content {
        Content::Images(_) => Reading::Cells,
        Content::Texts(_) => Reading::Texts,
    };
    let of_rule = |rule: &Rule| match rule {
        Rule::Values { .. } => Reading::Cells,
        Rule::Threshold(_) => Reading::Numbers,
    };
    let mut wanted =
        vec![(layout.input.column.as_str(), input), (layout.class.column.as_str(), of_rule(&layout.class.rule))];
    wanted.extend(layout.splits.column.as_deref().map(|column| (column, Reading::Cells)));
    wanted.extend(layout.splits.keep_together.as_deref().map(|column| (column, Reading::Cells)));
    match &layout.attribute {
        Attribute::Column(labels) => wanted.push((&labels.column, of_rule(&labels.rule))),
        Attribute::Several(several) => {
            wanted.extend(several.columns.iter().map(|column| (column.column.as_str(), Reading::Numbers)));
        }
        Attribute::None | Attribute::Colour(_) => {}
    }
    wanted
}

/// For each row of `table` the row of `other` that has the same `column`.
fn matching(table: &TextTable, other: &TextTable, column: &str) -> Result<Vec<usize>, DataError> {
    let mut rows: HashMap<&Cell, usize> = HashMap::with_capacity(other.rows());
    for (row, cell) in other.cells(column)?.iter().enumerate() {
        if let Some(earlier) = rows.insert(cell, row) {
            let problem = format!("{} stands in {} too", cell.text(), other.place(earlier));
            return Err(other.row_error(row, column, problem));
        }
    }
    let other_name = Path::new(other.name()).file_name().unwrap_or_default().to_string_lossy();
    let find = |(row, cell): (usize, &Cell)| {
        rows.get(cell)
            .copied()
            .ok_or_else(|| table.row_error(row, column, format!("{} is not in {other_name}", cell.text())))
    };
    table.cells(column)?.iter().enumerate().map(find).collect()
}
