//! Parquet in the form that the Hugging Face hub uses: images as a struct of `bytes` and `path`, labels as integers.
//!
//! A column's meaning does not depend on how it was written: whole numbers of any width, truth values, text, large
//! text and dictionaries of these are read alike.

use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::{Cell, DataFile, Location};
use crate::DataError;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// A parquet file whose footer was read and understood.
pub struct ParquetFile {
    file: DataFile,
    source: Source,
    metadata: ArrowReaderMetadata,
}

enum Source {
    Disk(File),
    Embedded(Bytes),
}

impl ParquetFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// The file is missing, is not parquet, or is cut short.
    pub fn open(file: DataFile) -> Result<Self, DataError> {
        let (source, metadata) = match &file.location {
            Location::Disk(path) => {
                let opened = File::open(path).map_err(|e| DataError::File {
                    file: file.name.clone(),
                    problem: format!("cannot be opened ({e}); {}", file.remedy),
                })?;
                let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new());
                (Source::Disk(opened), metadata)
            }
            Location::Embedded(bytes) => {
                let bytes = Bytes::from_static(bytes);
                let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new());
                (Source::Embedded(bytes), metadata)
            }
        };
        match metadata {
            Ok(metadata) => Ok(Self { file, source, metadata }),
            Err(e) => Err(foreign(&file, &source, &e)),
        }
    }

    /// What messages call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// All cells of a column of integers, truth values or text.
    ///
    /// # Errors
    /// No such column, another type, or a null: with its row.
    pub fn cells(&self, column: &str) -> Result<Vec<Cell>, DataError> {
        let mut cells = Vec::with_capacity(self.rows());
        for batch in self.read(column)? {
            let array = self.only_column(batch)?;
            let first = cells.len();
            for (i, cell) in self.convert(&array, column, first)?.into_iter().enumerate() {
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
        Ok(Images { file: self, column: column.to_string(), reader: self.read(column)?, next: 0 })
    }

    /// An error about one cell.
    pub(crate) fn row_error(&self, row: usize, column: &str, problem: String) -> DataError {
        DataError::Row { file: self.file.name.clone(), row, column: column.to_string(), problem }
    }

    fn read(&self, column: &str) -> Result<ParquetRecordBatchReader, DataError> {
        let schema = self.metadata.schema();
        let Ok(index) = schema.index_of(column) else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(self.error(format!("has no column `{column}`; it has {}", names.join(", "))));
        };
        let reader = match &self.source {
            Source::Disk(file) => file.try_clone().map_err(ParquetError::from).and_then(|f| self.reader(f, index)),
            Source::Embedded(bytes) => self.reader(bytes.clone(), index),
        };
        reader.map_err(|e| self.damaged(&e))
    }

    fn reader<T: ChunkReader + 'static>(
        &self,
        source: T,
        column: usize,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
    }

    fn only_column(&self, batch: Result<RecordBatch, arrow_schema::ArrowError>) -> Result<ArrayRef, DataError> {
        let batch = batch.map_err(|e| self.damaged(&e))?;
        batch.columns().first().cloned().ok_or_else(|| self.error("a batch came without its column".to_string()))
    }

    /// `None` is a null. `first` is the row of the array's first value.
    fn convert(&self, array: &ArrayRef, column: &str, first: usize) -> Result<Vec<Option<Cell>>, DataError> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            if dictionary.values().is_empty() {
                return Ok(vec![None; array.len()]);
            }
            let values = self.convert(dictionary.values(), column, first)?;
            let keys = dictionary.keys();
            let positions = dictionary.normalized_keys();
            let cell = |i: usize, at: usize| if keys.is_null(i) { None } else { values.get(at).cloned().flatten() };
            return Ok(positions.into_iter().enumerate().map(|(i, at)| cell(i, at)).collect());
        }
        macro_rules! integers {
            ($type:ty) => {
                Ok(array.as_primitive::<$type>().iter().map(|v| v.map(|v| Cell::Integer(i64::from(v)))).collect())
            };
        }
        macro_rules! text {
            ($array:expr) => {
                Ok($array.iter().map(|v| v.map(|v| Cell::Text(v.to_string()))).collect())
            };
        }
        // pandas writes a column of integers as floats once one of them is missing.
        let whole = |i: usize, value: f64| {
            if value.fract() == 0.0 && value.abs() < 9e15 {
                Ok(Cell::Integer(value as i64))
            } else {
                Err(self.row_error(first + i, column, format!("{value} is not a whole number")))
            }
        };
        let floats = |values: Vec<Option<f64>>| {
            values.into_iter().enumerate().map(|(i, v)| v.map(|v| whole(i, v)).transpose()).collect()
        };
        match array.data_type() {
            DataType::Int8 => integers!(Int8Type),
            DataType::Int16 => integers!(Int16Type),
            DataType::Int32 => integers!(Int32Type),
            DataType::Int64 => integers!(Int64Type),
            DataType::UInt8 => integers!(UInt8Type),
            DataType::UInt16 => integers!(UInt16Type),
            DataType::UInt32 => integers!(UInt32Type),
            DataType::UInt64 => {
                let checked = |i: usize, value: u64| {
                    i64::try_from(value).map(Cell::Integer).map_err(|_| {
                        self.row_error(first + i, column, format!("{value} is larger than any 64-bit signed integer"))
                    })
                };
                let values = array.as_primitive::<UInt64Type>().iter();
                values.enumerate().map(|(i, v)| v.map(|v| checked(i, v)).transpose()).collect()
            }
            DataType::Boolean => {
                Ok(array.as_boolean().iter().map(|v| v.map(|v| Cell::Integer(i64::from(v)))).collect())
            }
            DataType::Float32 => floats(array.as_primitive::<Float32Type>().iter().map(|v| v.map(f64::from)).collect()),
            DataType::Float64 => floats(array.as_primitive::<Float64Type>().iter().collect()),
            DataType::Utf8 => text!(array.as_string::<i32>()),
            DataType::LargeUtf8 => text!(array.as_string::<i64>()),
            DataType::Utf8View => text!(array.as_string_view()),
            DataType::Null => Ok(vec![None; array.len()]),
            other => Err(self.error(format!("column `{column}` holds {other}; expected whole numbers or text"))),
        }
    }

    fn error(&self, problem: String) -> DataError {
        DataError::File { file: self.file.name.clone(), problem }
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> DataError {
        self.error(format!("the parquet data are damaged ({error}); {}", self.file.remedy))
    }
}

fn foreign(file: &DataFile, source: &Source, error: &ParquetError) -> DataError {
    use std::io::Read;

    let mut start = Vec::new();
    let length = match source {
        Source::Disk(opened) => {
            let mut opened: &File = opened;
            // Only for the message: an unreadable start is an empty one.
            let _ = std::io::Seek::rewind(&mut opened).and_then(|()| opened.take(4).read_to_end(&mut start));
            opened.metadata().map_or(0, |metadata| metadata.len())
        }
        Source::Embedded(bytes) => {
            start.extend_from_slice(bytes.get(..4).unwrap_or_default());
            bytes.len() as u64
        }
    };
    let what = if start == b"PAR1" { "a parquet file cut short or damaged" } else { "not a parquet file" };
    let problem = format!("{what} ({length} bytes; {error}); {}", file.remedy);
    DataError::File { file: file.name.clone(), problem }
}

/// Iterator over the encoded images of a [`ParquetFile`].
pub struct Images<'a> {
    file: &'a ParquetFile,
    column: String,
    reader: ParquetRecordBatchReader,
    next: usize,
}

impl<'a> Iterator for Images<'a> {
    type Item = Result<ImageRows<'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(self.file.only_column(batch).and_then(|array| {
            let rows = ImageRows { file: self.file, column: self.column.clone(), first: self.next, array };
            rows.check()?;
            self.next += rows.len();
            Ok(rows)
        }))
    }
}

/// Consecutive rows of encoded images.
pub struct ImageRows<'a> {
    file: &'a ParquetFile,
    column: String,
    first: usize,
    array: ArrayRef,
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
        self.array.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }

    /// The bytes of image `i` of these rows.
    ///
    /// # Errors
    /// A null, with its row in the file.
    pub fn bytes(&self, i: usize) -> Result<&[u8], DataError> {
        let encoded = self.encoded();
        if i >= encoded.len() || self.array.is_null(i) || encoded.is_null(i) {
            return Err(self.error(i, "is null; every row needs the bytes of an image".to_string()));
        }
        match encoded.data_type() {
            DataType::Binary => Ok(encoded.as_binary::<i32>().value(i)),
            DataType::LargeBinary => Ok(encoded.as_binary::<i64>().value(i)),
            DataType::BinaryView => Ok(encoded.as_binary_view().value(i)),
            _ => Err(self.error(i, "does not hold bytes".to_string())),
        }
    }

    /// An error about image `i` of these rows.
    pub(crate) fn error(&self, i: usize, problem: String) -> DataError {
        self.file.row_error(self.first + i, &self.column, problem)
    }

    /// The array of bytes: the column itself, or the field `bytes` of the hub's struct.
    fn encoded(&self) -> &ArrayRef {
        self.array.as_struct_opt().and_then(|fields| fields.column_by_name("bytes")).unwrap_or(&self.array)
    }

    fn check(&self) -> Result<(), DataError> {
        match self.encoded().data_type() {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(()),
            _ => Err(self.file.error(format!(
                "column `{}` holds {}; expected images: a struct with a field `bytes`, or binary",
                self.column,
                self.array.data_type()
            ))),
        }
    }
}
