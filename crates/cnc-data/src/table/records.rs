//! The one reader of CSV (RFC 4180) and of values between tabs.

use std::io::{Chain, Read};

use csv::ByteRecord;

/// A record that is read behind the last one of a table, on a line of its own. Inside a quote that nobody closed it is part
/// of a value, and so would all rows from there on be.
const BEHIND: &[u8] = b"\n\0end of the table\0\n";

/// The records of a table, the header among them.
pub(super) struct Records<R>(csv::Reader<Chain<R, &'static [u8]>>);

impl<R: Read> Records<R> {
    pub(super) fn new(table: R, separator: u8) -> Self {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(separator);
        Self(builder.from_reader(table.chain(BEHIND)))
    }

    /// Reads the next record; false at the end of the table.
    ///
    /// # Errors
    /// The file cannot be read, or a quote is never closed.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, String> {
        let is_there = self.0.read_byte_record(record).map_err(|error| match error.kind() {
            csv::ErrorKind::Io(error) => format!("cannot be read ({error})"),
            _ => format!("is not CSV as RFC 4180 has it: {error}"),
        })?;
        Ok(is_there && !at_end(record)?)
    }
}

/// What separates the values of a table, by its first line: commas, else tabs, else nothing that this reader knows.
pub(super) fn separator(line: &[u8]) -> Option<u8> {
    [b',', b'\t'].into_iter().find(|separator| line.contains(separator))
}

/// The line that a record begins in, from 1; inside quotes it is not known better.
pub(super) fn line_of(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// Whether a record is the one behind the table.
fn at_end(record: &ByteRecord) -> Result<bool, String> {
    let (last, behind) = (record.iter().next_back().unwrap_or_default(), BEHIND.trim_ascii());
    if record.len() == 1 && last == behind {
        return Ok(true);
    }
    if last.trim_ascii_end().ends_with(behind) {
        let line = line_of(record);
        return Err(format!(
            "a quote in the row that begins in line {line} is never closed: all after it would be one value; close it, or \
             write it twice inside quotes"
        ));
    }
    Ok(false)
}
