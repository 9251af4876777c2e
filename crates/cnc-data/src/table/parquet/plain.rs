//! Columns of numbers and of texts.

use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;

use super::ParquetFile;
use crate::DataError;
use crate::table::Texts;
use crate::table::column::number;

impl ParquetFile {
    /// All numbers of a column; a null is none.
    ///
    /// # Errors
    /// No such column, or values that are no numbers.
    pub fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>, DataError> {
        let leaf = self.leaf(column, &[column])?;
        let described = self.describe(leaf)?;
        let (is_number, is_text) = (self.is_number(leaf)?, self.is_text(leaf)?);
        let mut numbers: Vec<Option<f64>> = Vec::new();
        for group in 0..self.metadata.num_row_groups() {
            let first = numbers.len();
            let row_error = |i: usize, problem: String| self.row_error(first + i, column, problem);
            let real = |i: usize, value: f64| match value.is_nan() {
                // pandas writes what is missing as NaN.
                true => Ok(None),
                false if value.is_infinite() => Err(row_error(i, format!("{value} is no number to compare with"))),
                false => Ok(Some(value)),
            };
            let values = match self.column_reader(group, leaf)? {
                ColumnReader::BoolColumnReader(reader) => {
                    self.all(reader, described, |_, value| Ok(Some(f64::from(u8::from(value)))))?
                }
                ColumnReader::Int32ColumnReader(reader) if is_number => {
                    self.all(reader, described, |_, value| Ok(Some(f64::from(value))))?
                }
                ColumnReader::Int64ColumnReader(reader) if is_number => {
                    self.all(reader, described, |_, value| Ok(Some(value as f64)))?
                }
                ColumnReader::FloatColumnReader(reader) => {
                    self.all(reader, described, |i, value| real(i, f64::from(value)))?
                }
                ColumnReader::DoubleColumnReader(reader) => self.all(reader, described, real)?,
                ColumnReader::ByteArrayColumnReader(reader) if is_text => {
                    self.all(reader, described, |i, value: ByteArray| {
                        let text = value.as_utf8().map_err(|_| row_error(i, "is not UTF-8 text".to_string()))?;
                        number(text).map_err(|problem| row_error(i, problem))
                    })?
                }
                _ => {
                    let kind = self.kind(leaf)?;
                    return Err(self.error(format!("column `{column}` holds {kind}; expected numbers")));
                }
            };
            numbers.extend(values.into_iter().map(Option::flatten));
        }
        Ok(numbers)
    }

    /// All texts of a column, as they are.
    ///
    /// # Errors
    /// No such column, values that are no texts, a text that is not UTF-8, or a null: with its row.
    pub fn texts(&self, column: &str) -> Result<Texts, DataError> {
        let leaf = self.leaf(column, &[column])?;
        let described = self.describe(leaf)?;
        let mut texts = Texts::default();
        for group in 0..self.metadata.num_row_groups() {
            let reader = match self.column_reader(group, leaf)? {
                ColumnReader::ByteArrayColumnReader(reader) if self.is_text(leaf)? => reader,
                _ => {
                    let kind = self.kind(leaf)?;
                    return Err(self.error(format!("column `{column}` holds {kind}; expected texts")));
                }
            };
            for value in self.all(reader, described, |_, value: ByteArray| Ok(value))? {
                let row_error = |problem: String| self.row_error(texts.len(), column, problem);
                let value = value.ok_or_else(|| row_error("is null; every row needs a text here".to_string()))?;
                let text = std::str::from_utf8(value.data())
                    .map_err(|e| row_error(format!("is not UTF-8 text (byte {} of it)", e.valid_up_to())))?;
                texts.push(text);
            }
        }
        Ok(texts)
    }
}
