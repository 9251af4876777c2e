//! The one error type of this crate: every message names the file, row, column or key, and what to do.

use std::path::PathBuf;

use crate::image::ImageError;
use crate::remedy::Remedy;
use crate::row_place::RowPlace;
use crate::strict_toml::StrictTomlError;

/// Everything that can go wrong between a manifest and a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Neither a built-in dataset nor a manifest file.
    #[error(
        "there is no dataset `{name}`: did you mean `{nearest}`? Built in: {known}; or give the path of a dataset.toml"
    )]
    UnknownDataset {
        /// What was asked for.
        name: String,
        /// The built-in name that looks most like it.
        nearest: String,
        /// All built-in names.
        known: String,
    },
    /// A manifest that is not well-formed: syntax, an unknown key, a value of the wrong type.
    #[error(transparent)]
    Toml(#[from] StrictTomlError),
    /// A well-formed manifest that makes no sense.
    #[error("{file}: {key}: {problem}")]
    Manifest {
        /// The manifest.
        file: String,
        /// The key at fault, as a dotted path.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A folder or a table that no manifest can be guessed for.
    #[error("{}: {problem}", path.display())]
    Survey {
        /// The folder or the table.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A file of a hub repository that is not in the local cache.
    #[error("{file} of {repository} is not on this machine ({problem})")]
    NotFetched {
        /// Path inside the repository.
        file: String,
        /// The hub repository, `owner/name`.
        repository: String,
        /// What was found instead.
        problem: String,
        /// What brings it: [`Remedy::Fetch`].
        remedy: Remedy,
    },
    /// A data file that is missing or whose bytes are not right.
    #[error("{file}: {problem}; {remedy}")]
    Damaged {
        /// The data file.
        file: String,
        /// What is wrong.
        problem: String,
        /// What helps.
        remedy: Remedy,
    },
    /// A file of texts without the column of the texts.
    #[error("{file}: has no column `{column}`; it has {known}")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its columns.
        known: String,
    },
    /// A data file that cannot be opened or is not what it should be.
    #[error("{file}: {problem}")]
    File {
        /// The data file.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A value of [`OpenOptions`](crate::OpenOptions) that does not fit the dataset or its model.
    #[error("{name}: {problem}")]
    Option {
        /// The option.
        name: &'static str,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A row with a bad cell.
    #[error("{file}: {place}: column `{column}`: {problem}")]
    Row {
        /// The data file.
        file: String,
        /// Where the row stands in that file.
        place: RowPlace,
        /// The column.
        column: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A row whose image cannot be used.
    #[error(
        "{file}: {place}: column `{column}`: {}{problem}",
        image.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default()
    )]
    Image {
        /// The data file.
        file: String,
        /// Where the row stands in that file.
        place: RowPlace,
        /// The column.
        column: String,
        /// The image's own file, where it has one.
        image: Option<PathBuf>,
        /// What is wrong.
        problem: ImageError,
    },
    /// Rows whose images are not there.
    #[error(
        "{file}: column `{column}`: {missing} of {rows} images {} not there, in {}: {first}; copy what is missing, or correct the rows or the \
         folder of [input]",
        if *missing == 1 { "is" } else { "are" },
        folder.display()
    )]
    MissingImages {
        /// The first data file with such a row.
        file: String,
        /// The column of the names.
        column: String,
        /// The folder that the names are looked up in.
        folder: PathBuf,
        /// How many images are not there.
        missing: u32,
        /// How many rows name an image.
        rows: u32,
        /// The first of them: where the row stands, its name, and what is likely meant.
        first: String,
    },
    /// A split that cannot be used as it is.
    #[error("{file}: split `{split}` {problem}")]
    Split {
        /// The manifest.
        file: String,
        /// `train`, `validation` or `test`.
        split: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Not the numbers of rows that the manifest expects.
    #[error(
        "{file}: the numbers of rows are not the expected ones: is a file incomplete, or another version?\n{tables}"
    )]
    Counts {
        /// The manifest.
        file: String,
        /// Both tables side by side.
        tables: String,
    },
    /// A batch was asked for with a row that the split does not have, or without any row.
    #[error("split `{split}` has {len} rows: a batch of {problem} cannot be made")]
    Batch {
        /// The split.
        split: &'static str,
        /// Its number of rows.
        len: usize,
        /// The rows asked for.
        problem: String,
    },
    /// Rows that a program holds and that make no dataset.
    #[error("rows in memory: {problem}")]
    Memory {
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The thread that prepares batches could not start, or ended before its draws did.
    #[error("the loader's thread stopped before the last batch: {0}")]
    Loader(String),
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl DataError {
    /// What helps, where it is more than the message says: for a program to say with its own commands and options.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::NotFetched { remedy, .. } | Self::Damaged { remedy, .. } => Some(remedy.clone()),
            Self::Image { problem, .. } => Some(problem.remedy().unwrap_or(Remedy::SkipUnreadable)),
            Self::MissingImages { .. } => Some(Remedy::SkipUnreadable),
            Self::Counts { .. } => Some(Remedy::AllowCountMismatch),
            Self::NoColumn { .. } => Some(Remedy::NameColumn),
            _ => None,
        }
    }
}
