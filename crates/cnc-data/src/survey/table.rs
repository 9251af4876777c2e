//! The columns of a table in any format that is read.

use std::path::Path;

use super::column::{Column, Holds};
use super::images::{self, ImageFiles};
use super::{Survey, file_name, unusable};
use crate::DataError;
use crate::table::parquet::ParquetFile;
use crate::table::text::{TextForm, TextTable};
use crate::table::{Cell, DataFile, Reading, Texts, jsonl};

pub(super) fn survey(folder: &Path, files: Vec<String>, name: String) -> Result<Survey, DataError> {
    let mut merged: Vec<(String, Values)> = Vec::new();
    let mut rows = 0;
    for file in &files {
        let (columns, of_file) = read(folder, file)?;
        rows += of_file;
        if merged.is_empty() {
            merged = columns;
            continue;
        }
        let names = |columns: &[(String, Values)]| columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(&merged) != names(&columns) {
            let problem = format!(
                "has several tables with different columns ({} and {}): name the one to look at",
                files.first().map_or("", String::as_str),
                file
            );
            return Err(unusable(folder, problem));
        }
        for ((_, values), (_, more)) in merged.iter_mut().zip(columns) {
            match (values, more) {
                (Values::Written(values), Values::Written(more)) => values.extend(more),
                (values, more) => *values = if matches!(more, Values::Images) { more } else { Values::Unread },
            }
        }
    }
    let columns = merged.into_iter().map(|(name, values)| column(folder, name, values)).collect();
    Ok(Survey { folder: folder.to_path_buf(), name, files, samples: Vec::new(), columns, rows })
}

/// The values of a column, as far as they are read here.
enum Values {
    Written(Vec<String>),
    Images,
    Unread,
}

fn column(folder: &Path, name: String, values: Values) -> Column {
    match values {
        Values::Images => Column { name, holds: Holds::Images(ImageFiles::Inside), empty: 0 },
        Values::Unread => Column { name, holds: Holds::Other, empty: 0 },
        Values::Written(values) => match images::named(folder, &values) {
            Some(images) => Column { name, holds: Holds::Images(images), empty: 0 },
            None => Column::written(name, &values),
        },
    }
}

/// The columns of a table whose values can be written as text, by name.
pub(crate) fn written_columns(path: &Path) -> Result<Vec<(String, Vec<String>)>, DataError> {
    let (folder, file) = (path.parent().unwrap_or(Path::new("")), file_name(path));
    let written = |(name, values)| match values {
        Values::Written(values) => Some((name, values)),
        Values::Images | Values::Unread => None,
    };
    Ok(read(folder, &file)?.0.into_iter().filter_map(written).collect())
}

/// Names and values of a table's columns, and its number of rows.
fn read(folder: &Path, file: &str) -> Result<(Vec<(String, Values)>, usize), DataError> {
    let local = || DataFile::local(folder.join(file));
    let end = Path::new(file).extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    match end.as_str() {
        "parquet" => {
            let table = ParquetFile::open(local())?;
            let values = |name: &str| match table.cells(name) {
                Ok(cells) => Values::Written(cells.iter().map(Cell::text).collect()),
                Err(_) if table.images(name).is_ok() => Values::Images,
                Err(_) => Values::Unread,
            };
            let columns = table.columns().into_iter().map(|name| (name.clone(), values(&name))).collect();
            Ok((columns, table.rows()))
        }
        "jsonl" | "ndjson" => {
            let names = jsonl::open(local(), &[])?;
            // A key's value may be a text in one file and a number in another.
            let values = |name: &String| {
                let as_texts = jsonl::open(local(), &[(name, Reading::Texts)]);
                let as_cells = || jsonl::open(local(), &[(name, Reading::Cells)]);
                let written = match as_texts.and_then(|table| table.into_texts(name)) {
                    Ok(texts) => Some(all(&texts)),
                    Err(_) => {
                        as_cells().ok().and_then(|table| Some(table.cells(name).ok()?.iter().map(Cell::text).collect()))
                    }
                };
                (name.clone(), written.map_or(Values::Unread, Values::Written))
            };
            Ok((names.names().iter().map(values).collect(), names.rows()))
        }
        _ => {
            let form = || TextForm { first: "", names: None };
            let names = TextTable::open(local(), &[], form())?.names().to_vec();
            let wanted: Vec<(&str, Reading)> = names.iter().map(|name| (name.as_str(), Reading::Texts)).collect();
            let table = TextTable::open(local(), &wanted, form())?;
            let columns = names.iter().map(|name| {
                let texts = table.texts(name)?;
                Ok((name.clone(), Values::Written(all(texts))))
            });
            let columns = columns.collect::<Result<_, DataError>>()?;
            Ok((columns, table.rows()))
        }
    }
}

fn all(texts: &Texts) -> Vec<String> {
    (0..texts.len()).filter_map(|place| texts.get(place)).map(str::to_string).collect()
}
