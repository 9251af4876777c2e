//! Parquet in the form that the Hugging Face hub uses: images as a struct of `bytes` and `path`, labels as integers.
//!
//! Columns are read one by one through parquet's own column readers: no table in memory is needed in between. A column's
//! meaning does not depend on how it was written: whole numbers of any width, truth values, text, large text and
//! dictionaries of these are the same few physical types, and read alike.

mod plain;

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use parquet::schema::types::ColumnDescriptor;

use super::guarded::guarded;
use super::pages::{self, Bytewise};
use super::{Cell, DataFile, Location};
use crate::DataError;
use crate::image::ImageError;
use crate::row_place::RowPlace;

/// Values read at a time.
const BATCH_ROWS: usize = 1024;
/// Images read at a time: some MB.
const BATCH_IMAGES: usize = 64;

/// A parquet file whose footer was read and understood.
pub struct ParquetFile {
    file: DataFile,
    bytes: Bytewise,
    metadata: ParquetMetaData,
}

impl ParquetFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// The file is missing, is not parquet, or is cut short.
    pub fn open(file: DataFile) -> Result<Self, DataError> {
        let bytes = match &file.location {
            Location::Disk(path) => {
                Bytewise::Disk(Arc::new(File::open(path).map_err(|e| file.damaged(format!("cannot be opened ({e})")))?))
            }
            Location::Embedded(bytes) => Bytewise::Memory(Bytes::from_static(bytes)),
        };
        let read = guarded(|| ParquetMetaDataReader::new().parse_and_finish(&bytes));
        let metadata = read.map_err(|e| foreign(&file, &e))?.map_err(|e| foreign(&file, &e))?;
        let (rows, most) = (metadata.file_metadata().num_rows(), pages::most_values(Length::len(&bytes)));
        if u64::try_from(rows).is_ok_and(|rows| rows > most) {
            return Err(foreign(&file, &format!("it says that it has {rows} rows, more than its bytes can hold")));
        }
        Ok(Self { file, bytes, metadata })
    }

    /// What messages call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Where the file is, if it is not part of the program.
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        match &self.file.location {
            Location::Disk(path) => Some(path),
            Location::Embedded(_) => None,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// The names of its columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        let schema = self.metadata.file_metadata().schema_descr();
        schema.root_schema().get_fields().iter().map(|field| field.name().to_string()).collect()
    }

    /// Whether there is a column of this name that holds text.
    pub(crate) fn holds_text(&self, column: &str) -> bool {
        self.leaf(column, &[column]).and_then(|leaf| self.is_text(leaf)).unwrap_or(false)
    }

    /// All cells of a column of integers, truth values or text.
    ///
    /// # Errors
    /// No such column, another type, or a null: with its row.
    pub fn cells(&self, column: &str) -> Result<Vec<Cell>, DataError> {
        let leaf = self.leaf(column, &[column])?;
        // The footer says how many there are, and may lie.
        let mut cells = Vec::new();
        for group in 0..self.metadata.num_row_groups() {
            let first = cells.len();
            for (i, cell) in self.cells_of_group(group, leaf, column, first)?.into_iter().enumerate() {
                cells.push(cell.ok_or_else(|| {
                    self.row_error(first + i, column, "is null; every row needs a value here".to_string())
                })?);
            }
        }
        Ok(cells)
    }

    /// The encoded images of a column, some rows at a time and in order.
    ///
    /// # Errors
    /// No such column, or not a column of images.
    pub fn images(&self, column: &str) -> Result<Images<'_>, DataError> {
        // The hub's struct of `bytes` and `path`, or the bytes alone.
        let leaf = self.leaf(column, &[column, "bytes"]).or_else(|error| match self.leaf(column, &[column]) {
            Ok(leaf) if self.describe(leaf)?.physical_type() == PhysicalType::BYTE_ARRAY => Ok(leaf),
            Ok(leaf) => Err(self.not_images(column, &self.kind(leaf)?)),
            Err(_) => Err(error),
        })?;
        if self.describe(leaf)?.physical_type() != PhysicalType::BYTE_ARRAY || self.is_text(leaf)? {
            return Err(self.not_images(column, &self.kind(leaf)?));
        }
        Ok(Images { file: self, column: column.to_string(), leaf, group: 0, reader: None, next: 0 })
    }

    /// An error about one cell.
    pub(crate) fn row_error(&self, row: usize, column: &str, problem: String) -> DataError {
        let place = RowPlace::row(row);
        DataError::Row { file: self.file.name.clone(), place, column: column.to_string(), problem }
    }

    /// Position of the column of values at a path of names; nothing that repeats within a row is one.
    fn leaf(&self, column: &str, path: &[&str]) -> Result<usize, DataError> {
        let schema = self.metadata.file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        if !fields.iter().any(|field| field.name() == column) {
            let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            return Err(self.error(format!("has no column `{column}`; it has {}", names.join(", "))));
        }
        let found = schema.columns().iter().position(|leaf| leaf.path().parts() == path && leaf.max_rep_level() == 0);
        found.ok_or_else(|| {
            let parts = schema.columns().iter().map(|leaf| leaf.path().string());
            let inside: Vec<String> = parts.filter(|part| part.starts_with(&format!("{column}."))).collect();
            let expected = if path.len() == 1 {
                "whole numbers or text"
            } else {
                "images: a struct with a field `bytes`, or binary"
            };
            self.error(format!("column `{column}` holds {}; expected {expected}", inside.join(", ")))
        })
    }

    fn describe(&self, leaf: usize) -> Result<&ColumnDescriptor, DataError> {
        let schema = self.metadata.file_metadata().schema_descr();
        schema.columns().get(leaf).map(|column| &**column).ok_or_else(|| self.error("has lost a column".to_string()))
    }

    /// Name of a column's type for messages.
    fn kind(&self, leaf: usize) -> Result<String, DataError> {
        let column = self.describe(leaf)?;
        Ok(match column.logical_type_ref() {
            Some(logical) => format!("{:?} as {}", logical, column.physical_type()),
            None => column.physical_type().to_string(),
        })
    }

    fn is_text(&self, leaf: usize) -> Result<bool, DataError> {
        let column = self.describe(leaf)?;
        Ok(matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
            || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON))
    }

    /// Whether whole numbers of this column are counts and not, say, days or cents.
    fn is_number(&self, leaf: usize) -> Result<bool, DataError> {
        let column = self.describe(leaf)?;
        let known = |logical: &LogicalType| matches!(logical, LogicalType::Integer(_) | LogicalType::Unknown);
        Ok(match column.logical_type_ref() {
            Some(logical) => known(logical),
            None => !matches!(
                column.converted_type(),
                ConvertedType::DECIMAL
                    | ConvertedType::DATE
                    | ConvertedType::TIME_MILLIS
                    | ConvertedType::TIME_MICROS
                    | ConvertedType::TIMESTAMP_MILLIS
                    | ConvertedType::TIMESTAMP_MICROS
            ),
        })
    }

    /// `None` is a null. `first` is the row of the group's first value.
    fn cells_of_group(
        &self,
        group: usize,
        leaf: usize,
        column: &str,
        first: usize,
    ) -> Result<Vec<Option<Cell>>, DataError> {
        let described = self.describe(leaf)?;
        let unsigned = match described.logical_type_ref() {
            Some(LogicalType::Integer(kind)) => !kind.is_signed,
            _ => matches!(described.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64),
        };
        let refused = || {
            let kind = self.kind(leaf)?;
            Err(self.error(format!("column `{column}` holds {kind}; expected whole numbers or text")))
        };
        let (text, number) = (self.is_text(leaf)?, self.is_number(leaf)?);
        let row_error = |i: usize, problem: String| self.row_error(first + i, column, problem);
        // pandas writes a column of integers as floats once one of them is missing.
        let whole = |i: usize, value: f64| match value {
            value if value.fract() == 0.0 && value.abs() < 9e15 => Ok(Cell::Integer(value as i64)),
            value => Err(row_error(i, format!("{value} is not a whole number"))),
        };
        match self.column_reader(group, leaf)? {
            ColumnReader::BoolColumnReader(reader) => self.all(reader, described, |_, value| Ok(Cell::Truth(value))),
            ColumnReader::Int32ColumnReader(reader) if number => self.all(reader, described, |_, value| {
                Ok(Cell::Integer(if unsigned { i64::from(value.cast_unsigned()) } else { i64::from(value) }))
            }),
            ColumnReader::Int64ColumnReader(reader) if number => self.all(reader, described, |i, value| {
                if unsigned && value < 0 {
                    let value = value.cast_unsigned();
                    return Err(row_error(i, format!("{value} is larger than any 64-bit signed integer")));
                }
                Ok(Cell::Integer(value))
            }),
            ColumnReader::FloatColumnReader(reader) => {
                self.all(reader, described, |i, value| whole(i, f64::from(value)))
            }
            ColumnReader::DoubleColumnReader(reader) => self.all(reader, described, whole),
            ColumnReader::ByteArrayColumnReader(reader) if text => {
                self.all(reader, described, |i, value: ByteArray| match value.as_utf8() {
                    Ok(text) => Ok(Cell::Text(text.to_string())),
                    Err(_) => Err(row_error(i, "is not UTF-8 text".to_string())),
                })
            }
            _ => refused(),
        }
    }

    /// All values of a row group, each turned into what it stands for.
    fn all<T: DataType, V>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        column: &ColumnDescriptor,
        meaning: impl Fn(usize, T::T) -> Result<V, DataError>,
    ) -> Result<Vec<Option<V>>, DataError> {
        let mut all = Vec::new();
        loop {
            let values = self.some(&mut reader, column, BATCH_ROWS)?;
            if values.is_empty() {
                return Ok(all);
            }
            for value in values {
                let i = all.len();
                all.push(value.map(|value| meaning(i, value)).transpose()?);
            }
        }
    }

    /// The next values of a row group; none at its end.
    fn some<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        column: &ColumnDescriptor,
        count: usize,
    ) -> Result<Vec<Option<T::T>>, DataError> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let read = guarded(|| reader.read_records(count, Some(&mut levels), None, &mut values));
        let (rows, _, _) = read.map_err(|e| self.damaged(&e))?.map_err(|e| self.damaged(&e))?;
        let mut values = values.into_iter();
        if column.max_def_level() == 0 {
            return Ok(values.map(Some).collect());
        }
        let present = |level: &i16| *level == column.max_def_level();
        Ok(levels.iter().take(rows).map(|level| if present(level) { values.next() } else { None }).collect())
    }

    fn column_reader(&self, group: usize, leaf: usize) -> Result<ColumnReader, DataError> {
        let opened = guarded(|| pages::column_reader(&self.bytes, &self.metadata, group, leaf));
        opened.map_err(|e| self.damaged(&e))?.map_err(|e| match e {
            ParquetError::NYI(problem) => self.error(format!(
                "{problem}, which is not read; write the file again, for example in Python: pyarrow.parquet.write_table(\
                 pyarrow.parquet.read_table({0:?}), {0:?}, compression=\"zstd\")",
                self.file.name
            )),
            e => self.damaged(&e),
        })
    }

    fn not_images(&self, column: &str, kind: &str) -> DataError {
        self.error(format!("column `{column}` holds {kind}; expected images: a struct with a field `bytes`, or binary"))
    }

    fn error(&self, problem: String) -> DataError {
        DataError::File { file: self.file.name.clone(), problem }
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> DataError {
        self.file.damaged(format!("the parquet data are damaged ({error})"))
    }
}

fn foreign(file: &DataFile, error: &dyn std::fmt::Display) -> DataError {
    use std::io::Read;

    let mut start = Vec::new();
    let length = match &file.location {
        Location::Disk(path) => {
            // Only for the message: an unreadable start is an empty one.
            let _ = File::open(path).and_then(|opened| opened.take(4).read_to_end(&mut start));
            path.metadata().map_or(0, |metadata| metadata.len())
        }
        Location::Embedded(bytes) => {
            start.extend_from_slice(bytes.get(..4).unwrap_or_default());
            bytes.len() as u64
        }
    };
    let what = if start == b"PAR1" { "a parquet file cut short or damaged" } else { "not a parquet file" };
    file.damaged(format!("{what} ({length} bytes; {error})"))
}

/// Iterator over the encoded images of a [`ParquetFile`].
pub struct Images<'a> {
    file: &'a ParquetFile,
    column: String,
    leaf: usize,
    /// The row group to open next.
    group: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    next: usize,
}

impl<'a> Images<'a> {
    fn read(&mut self) -> Result<Option<ImageRows<'a>>, DataError> {
        loop {
            if let Some(reader) = &mut self.reader {
                let encoded = self.file.some(reader, self.file.describe(self.leaf)?, BATCH_IMAGES)?;
                if !encoded.is_empty() {
                    let rows = ImageRows { file: self.file, column: self.column.clone(), first: self.next, encoded };
                    self.next += rows.len();
                    return Ok(Some(rows));
                }
            }
            if self.group == self.file.metadata.num_row_groups() {
                return Ok(None);
            }
            self.reader = match self.file.column_reader(self.group, self.leaf)? {
                ColumnReader::ByteArrayColumnReader(reader) => Some(reader),
                _ => return Err(self.file.not_images(&self.column, &self.file.kind(self.leaf)?)),
            };
            self.group += 1;
        }
    }
}

impl<'a> Iterator for Images<'a> {
    type Item = Result<ImageRows<'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Consecutive rows of encoded images.
pub struct ImageRows<'a> {
    file: &'a ParquetFile,
    column: String,
    first: usize,
    encoded: Vec<Option<ByteArray>>,
}

impl ImageRows<'_> {
    /// The row of the first image, counted in the file.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// The bytes of image `i` of these rows.
    ///
    /// # Errors
    /// A null, with its row in the file.
    pub fn bytes(&self, i: usize) -> Result<&[u8], DataError> {
        match self.encoded.get(i) {
            Some(Some(encoded)) => Ok(encoded.data()),
            _ => Err(self.error(i, &"is null; every row needs the bytes of an image".to_string().into())),
        }
    }

    /// The bytes of image `i` of these rows; none of them for a null.
    pub(crate) fn bytes_or_null(&self, i: usize) -> &[u8] {
        self.encoded.get(i).and_then(Option::as_ref).map_or(&[], ByteArray::data)
    }

    /// An error about image `i` of these rows.
    pub(crate) fn error(&self, i: usize, problem: &ImageError) -> DataError {
        let (place, column) = (RowPlace::row(self.first + i), self.column.clone());
        DataError::Image { file: self.file.name().to_string(), place, column, image: None, problem: problem.clone() }
    }
}
