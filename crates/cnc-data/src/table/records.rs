//! The one reader of CSV (RFC 4180) and of values between tabs.

use std::collections::VecDeque;
use std::io::{self, Chain, ErrorKind, Read};

use csv::ByteRecord;

/// A record that is read behind the last one of a table, on a line of its own. Inside a quote that nobody closed it is part
/// of a value, and so would all rows from there on be.
const BEHIND: &[u8] = b"\n\0end of the table\0\n";

/// The records of a table, the header among them.
pub(super) struct Records<R> {
    reader: csv::Reader<Strict<Chain<R, &'static [u8]>>>,
    /// Lines of the file in front of the table.
    above: u64,
}

impl<R: Read> Records<R> {
    /// The records of a table whose first line is the one after `above` others of its file.
    pub(super) fn new(table: R, separator: u8, above: u64) -> Self {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(separator);
        let strict = Strict {
            table: table.chain(BEHIND),
            separator,
            line: above + 1,
            at: At::Start,
            offset: 0,
            ended: true,
            feeds: VecDeque::new(),
        };
        Self { reader: builder.from_reader(strict), above }
    }

    /// Reads the next record; false at the end of the table.
    ///
    /// # Errors
    /// The file cannot be read, a quote is never closed, or a value goes on behind its closing quote.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, String> {
        let is_there = self.reader.read_byte_record(record).map_err(|error| match error.kind() {
            csv::ErrorKind::Io(error) if error.kind() == ErrorKind::InvalidData => error.to_string(),
            csv::ErrorKind::Io(error) => format!("cannot be read ({error})"),
            _ => format!("is not CSV as RFC 4180 has it: {error}"),
        })?;
        if let Some(mut at) = record.position().cloned() {
            // For the reader a record begins with what it passes over: the second of two characters that end a line, empty lines.
            let end = self.reader.position().byte();
            let passed = self.reader.get_mut().passed_over(end);
            at.set_line(at.line() + self.above + passed);
            record.set_position(Some(at));
        }
        Ok(is_there && !at_end(record)?)
    }
}

/// The bytes of a table, as long as nothing but a separator or the end of the line follows a closing quote. Readers that let
/// anything follow join rows in silence where a quote is missing or escaped with a backslash.
struct Strict<R> {
    table: R,
    separator: u8,
    line: u64,
    at: At,
    /// Bytes that were read.
    offset: u64,
    /// Whether the last of them ended a line.
    ended: bool,
    /// Where the line feeds are that end nothing, as far as no record was read from behind them.
    feeds: VecDeque<u64>,
}

impl<R> Strict<R> {
    /// How many line feeds that end nothing are before this byte; they are forgotten.
    fn passed_over(&mut self, end: u64) -> u64 {
        let before = self.feeds.iter().take_while(|feed| **feed < end).count();
        self.feeds.drain(..before).count() as u64
    }
}

/// Where in a record a byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// The start of a value.
    Start,
    /// Within a value without quotes around it.
    Plain,
    /// Within quotes that were opened in this line.
    Quoted(u64),
    /// Behind a quote within quotes: the first of two, or the closing one.
    Quote(u64),
}

impl<R: Read> Read for Strict<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.table.read(buffer)?;
        for byte in buffer.iter().take(length) {
            let ends = *byte == self.separator || matches!(byte, b'\n' | b'\r');
            if *byte == b'\n' && self.at == At::Start && self.ended {
                self.feeds.push_back(self.offset);
            }
            self.at = match self.at {
                At::Start if *byte == b'"' => At::Quoted(self.line),
                At::Start | At::Plain if ends => At::Start,
                At::Start | At::Plain => At::Plain,
                At::Quoted(from) if *byte == b'"' => At::Quote(from),
                At::Quoted(from) => At::Quoted(from),
                At::Quote(from) if *byte == b'"' => At::Quoted(from),
                At::Quote(_) if ends => At::Start,
                At::Quote(from) => {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "line {}: a value goes on behind a closing quote (opened in line {from}). Close every quote that is opened, and \
                             write one that belongs to a value twice (\"\"); a backslash does not make it one",
                            self.line
                        ),
                    ));
                }
            };
            self.line += u64::from(*byte == b'\n');
            self.ended = self.at == At::Start && *byte != self.separator;
            self.offset += 1;
        }
        Ok(length)
    }
}

/// What separates the values of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Nothing where values stand between spaces.
    pub(super) separator: Option<u8>,
    /// Whether a line `sep=;`, as spreadsheets write it, stands above the header.
    pub(super) is_said: bool,
}

/// What separates values, by the first line of a table: what it says, else the first of comma, tab, semicolon and bar, outside
/// quotes, with which one of the wanted columns is in it, else the first of these that is in it.
pub(super) fn form(line: &[u8], wanted: &[&str]) -> Form {
    let said = line.strip_prefix(b"sep=").map(|rest| rest.strip_suffix(b"\n").unwrap_or(rest));
    if let Some([separator]) = said.map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest)) {
        return Form { separator: Some(*separator), is_said: true };
    }
    let line = line.trim_ascii();
    let parts = |separator: u8| {
        let mut is_quoted = false;
        let cut = move |byte: &u8| {
            is_quoted ^= *byte == b'"';
            *byte == separator && !is_quoted
        };
        line.split(cut).map(<[u8]>::trim_ascii).collect::<Vec<_>>()
    };
    let there: Vec<(u8, Vec<&[u8]>)> = [b',', b'\t', b';', b'|']
        .into_iter()
        .map(|separator| (separator, parts(separator)))
        .filter(|(_, parts)| parts.len() > 1)
        .collect();
    let is_wanted = |name: &&[u8]| {
        let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
        wanted.iter().any(|wanted| wanted.as_bytes() == name)
    };
    let fitting = there.iter().find(|(_, parts)| parts.iter().any(&is_wanted));
    // One word is one column, of whatever is in it.
    let one = (!line.iter().any(u8::is_ascii_whitespace)).then_some(b',');
    Form { separator: fitting.or(there.first()).map(|(separator, _)| *separator).or(one), is_said: false }
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
