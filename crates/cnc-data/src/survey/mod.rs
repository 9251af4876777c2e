//! What lies in a table or a folder that no manifest describes yet: columns, and what they look like.

mod column;
mod folders;
mod images;
mod table;

use std::path::{Path, PathBuf};

use crate::DataError;
pub use column::{Column, Holds};
pub use folders::Sample;
pub use images::ImageFiles;
pub(crate) use table::written_columns;

/// Ends of the names of tables.
const TABLE_ENDS: [&str; 6] = ["csv", "tsv", "txt", "jsonl", "ndjson", "parquet"];

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// The folder that names of files are relative to: where a manifest belongs.
    pub folder: PathBuf,
    /// What the data are called: the name of the folder or of the table.
    pub name: String,
    /// The rows' table or tables; none where folders of images are the classes.
    pub files: Vec<String>,
    /// The images in folders that are the classes, in the order of their names; none where there is a table.
    pub samples: Vec<Sample>,
    /// The columns of the table; of folders: `file`, `class`, and `split` where the outer folders are splits.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
}

impl Survey {
    /// Looks at a table, at a folder with tables in one format, or at a folder with a folder of images for each class.
    ///
    /// # Errors
    /// Nothing of the kind is there, several tables have different columns, or a table cannot be read.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        if path.is_file() {
            return table::survey(path.parent().unwrap_or(Path::new("")), vec![file_name(path)], data_name(path));
        }
        if !path.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(DataError::Io { path: path.to_path_buf(), source });
        }
        let mut tables = names_in(path)?;
        tables.retain(|name| is_table(name));
        if tables.is_empty() { folders::survey(path) } else { table::survey(path, tables, data_name(path)) }
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The names in a folder, in order; hidden ones are passed over.
fn names_in(folder: &Path) -> Result<Vec<String>, DataError> {
    let io = |source| DataError::Io { path: folder.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_table(name: &str) -> bool {
    let end = Path::new(name).extension().map(|end| end.to_string_lossy().to_lowercase());
    end.is_some_and(|end| TABLE_ENDS.contains(&end.as_str()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name for data at this path, of letters that every file system takes.
fn data_name(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let stem = whole.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "data".to_string() } else { name.to_string() }
}

fn unusable(path: &Path, problem: String) -> DataError {
    DataError::Survey { path: path.to_path_buf(), problem }
}
