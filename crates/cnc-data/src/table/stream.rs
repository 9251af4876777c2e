//! Texts of a file or a pipe one after the other: no more of it is in memory than the text in hand.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;

use super::encoding::{CONVERT, foreign, is_gzip, is_utf16, plain};
use super::jsonl;
use super::records::{Records, form, line_of};
use crate::DataError;

/// Bytes of the longest line: more is not a text but a file of another kind.
const LONGEST: u64 = 64 << 20;

/// How texts stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Texts {
    /// One a line; an empty line is an empty text.
    Lines,
    /// In a column of JSON Lines, or of CSV or values between tabs with a header.
    Table {
        /// Its name.
        column: String,
    },
}

/// A text, or what is wrong in its place.
pub type Line = Result<String, String>;

/// The texts of a file, in its order.
pub struct TextStream {
    /// For messages.
    name: String,
    form: Form,
}

enum Form {
    Lines(Lines),
    Json { lines: Lines, column: String },
    Csv(Box<Csv>),
    Ended,
}

impl TextStream {
    /// The texts that `reader` gives. A table is JSON Lines where its first line begins with `{`, else CSV, and between tabs
    /// where its header has tabs and no comma.
    ///
    /// # Errors
    /// The file cannot be read, is parquet, or its header does not have the column.
    pub fn open(name: &str, reader: impl BufRead + Send + 'static, texts: &Texts) -> Result<Self, DataError> {
        let fails = |problem: String| DataError::File { file: name.to_string(), problem };
        let mut lines = Lines { reader: utf8(Box::new(reader)).map_err(fails)?, number: 0 };
        let Some(first) = lines.next().map_err(fails)? else {
            return match texts {
                Texts::Lines => Ok(Self { name: name.to_string(), form: Form::Ended }),
                Texts::Table { .. } => Err(fails("is empty: a header and rows are needed".to_string())),
            };
        };
        // What was read of it goes before the rest.
        let again = io::Cursor::new([first.as_slice(), b"\n"].concat());
        let is_json = first.trim_ascii_start().starts_with(b"{");
        let form = match texts {
            Texts::Lines => Form::Lines(Lines { reader: Box::new(again.chain(lines.reader)), number: 0 }),
            Texts::Table { column } if is_json => {
                let lines = Lines { reader: Box::new(again.chain(lines.reader)), number: 0 };
                Form::Json { lines, column: column.clone() }
            }
            Texts::Table { column } => {
                let said = form(&first, &[column]);
                let separator = said.separator.unwrap_or(b',');
                let table: Box<dyn Read + Send> =
                    if said.is_said { lines.reader } else { Box::new(again.chain(lines.reader)) };
                let records = Records::new(table, separator, u64::from(said.is_said));
                Form::Csv(Box::new(Csv::open(name, records, column)?))
            }
        };
        Ok(Self { name: name.to_string(), form })
    }
}

impl Iterator for TextStream {
    type Item = Result<Line, DataError>;

    /// An error of the file itself is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.form {
            Form::Ended => return None,
            Form::Lines(lines) => match lines.next() {
                Ok(None) => None,
                Ok(Some(line)) => Some(Ok(text(line, &format!("line {}", lines.number)))),
                Err(problem) => Some(Err(problem)),
            },
            Form::Json { lines, column } => loop {
                match lines.next() {
                    Ok(None) => break None,
                    Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                    Ok(Some(line)) => {
                        let place = format!("line {}", lines.number);
                        let found = text(line, &place).and_then(|line| {
                            jsonl::text_of(&line, column).map_err(|problem| format!("{place}: {problem}"))
                        });
                        break Some(Ok(found));
                    }
                    Err(problem) => break Some(Err(problem)),
                }
            },
            Form::Csv(csv) => csv.next(),
        };
        if !matches!(item, Some(Ok(_))) {
            self.form = Form::Ended;
        }
        let name = &self.name;
        item.map(|item| match item {
            Ok(read) => Ok(read.map_err(|problem| format!("{name}: {problem}"))),
            Err(problem) => Err(DataError::File { file: name.clone(), problem }),
        })
    }
}

/// The same as UTF-8, where the first bytes say that it is packed with gzip or written in UTF-16; the latter is in memory as a whole.
fn utf8(mut reader: Box<dyn BufRead + Send>) -> Result<Box<dyn BufRead + Send>, String> {
    if is_gzip(reader.fill_buf().map_err(unreadable)?) {
        reader = Box::new(BufReader::new(MultiGzDecoder::new(reader)));
    }
    let start = reader.fill_buf().map_err(unreadable)?;
    if let Some(problem) = foreign(start) {
        return Err(problem.to_string());
    }
    if !is_utf16(start) {
        return Ok(reader);
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Box::new(io::Cursor::new(plain(Cow::Owned(bytes))?.into_owned())))
}

/// The lines of a file without their ends, nor a byte-order mark.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    /// Of the last line, from 1.
    number: u64,
}

impl Lines {
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read as u64 > LONGEST {
            return Err(format!("line {} is longer than {LONGEST} bytes: is it a file of texts?", self.number));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Some(line))
    }
}

/// CSV, after its header.
struct Csv {
    records: Records<Box<dyn Read + Send>>,
    /// The column of the texts, and its name.
    place: usize,
    column: String,
    columns: usize,
    record: ByteRecord,
}

impl Csv {
    fn open(file: &str, mut records: Records<Box<dyn Read + Send>>, column: &str) -> Result<Self, DataError> {
        let fails = |problem: String| DataError::File { file: file.to_string(), problem };
        let mut record = ByteRecord::new();
        records.read(&mut record).map_err(fails)?;
        let header: Option<Vec<&str>> = record.iter().map(|name| std::str::from_utf8(name).ok()).collect();
        let header = header.ok_or_else(|| fails(format!("the header is not UTF-8 text; {CONVERT}")))?;
        let mut places = (0..).zip(&header).filter(|(_, name)| name.trim() == column).map(|(place, _)| place);
        let place = places.next().ok_or_else(|| {
            let names: Vec<&str> = header.iter().take(50).map(|name| name.trim()).collect();
            DataError::NoColumn { file: file.to_string(), column: column.to_string(), known: names.join(", ") }
        })?;
        if places.next().is_some() {
            return Err(fails(format!("has two columns `{column}`; rename or remove one of them")));
        }
        let columns = header.len();
        Ok(Self { records, place, column: column.to_string(), columns, record })
    }

    fn next(&mut self) -> Option<Result<Line, String>> {
        match self.records.read(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(problem) => return Some(Err(problem)),
        }
        let line = line_of(&self.record);
        if self.record.len() != self.columns {
            return Some(Ok(Err(format!(
                "line {line} has {} values where the header has {}: a comma inside a value needs quotes \
                 around the value",
                self.record.len(),
                self.columns
            ))));
        }
        let place = format!("line {line}: column `{}`", self.column);
        Some(Ok(text(self.record.get(self.place).unwrap_or_default().to_vec(), &place)))
    }
}

fn text(bytes: Vec<u8>, place: &str) -> Line {
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        format!("{place} is not UTF-8 text (from its byte {good} on); {CONVERT}")
    })
}

fn unreadable(error: io::Error) -> String {
    format!("cannot be read ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], texts: &Texts) -> Result<Vec<Line>, String> {
        let stream = TextStream::open("a file", bytes, texts).map_err(|e| e.to_string())?;
        stream.map(|item| item.map_err(|e| e.to_string())).collect()
    }

    fn lines(bytes: &'static [u8]) -> Vec<Line> {
        read(bytes, &Texts::Lines).unwrap()
    }

    fn table(bytes: &'static [u8]) -> Result<Vec<Line>, String> {
        read(bytes, &Texts::Table { column: "text".to_string() })
    }

    fn all(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Ok((*text).to_string())).collect()
    }

    #[test]
    fn every_line_is_a_text_whatever_its_end_and_the_empty_ones_too() {
        assert_eq!(lines(b"\xef\xbb\xbfa b\r\n\r\n c \n"), all(&["a b", "", " c "]));
        assert_eq!(lines(b"a\nb"), all(&["a", "b"]));
        assert_eq!(lines(b"\n"), all(&[""]));
        assert_eq!(lines(b""), all(&[]));
        assert_eq!(lines(b"{\"text\": 1}\n"), all(&["{\"text\": 1}"]));
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_named_and_the_next_one_is_read() {
        let found = lines(b"a\ncaf\xe9\nb\n");
        assert_eq!((&found[0], &found[2]), (&Ok("a".to_string()), &Ok("b".to_string())));
        let problem = found[1].clone().unwrap_err();
        assert!(problem.starts_with("a file: line 2 is not UTF-8 text (from its byte 3 on)"), "{problem}");
    }

    #[test]
    fn texts_of_a_table_are_those_of_its_column_with_commas_quotes_and_line_breaks() {
        let expected = all(&["He said \"no\",\nthen left, ok", " x "]);
        let comma = b"\xef\xbb\xbfid, text\r\n7,\"He said \"\"no\"\",\nthen left, ok\"\r\n8, x \r\n";
        assert_eq!(table(comma).unwrap(), expected);
        let json = b"{\"id\": 7, \"text\": \"He said \\\"no\\\",\\nthen left, ok\"}\n\n{\"text\": \" x \"}";
        assert_eq!(table(json).unwrap(), expected);
        assert_eq!(table(b"id\ttext\n1\ta, b\n").unwrap(), all(&["a, b"]));
        assert_eq!(table(b"text\nno comma anywhere\n").unwrap(), all(&["no comma anywhere"]));
        assert_eq!(table(b"text,id").unwrap(), all(&[]));
    }

    #[test]
    fn a_bad_row_is_named_and_the_next_one_is_read() {
        let found = table(b"id,text\n1,a,b\n2\n3,\xff\n4,d\n").unwrap();
        for (row, words) in
            ["line 2 has 3 values", "line 3 has 1 values", "line 4: column `text` is not UTF-8"].iter().enumerate()
        {
            let problem = found[row].clone().unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(found[3..], all(&["d"]));
        let found = table(b"{\"text\": 1}\n{\"text\": \"b\"}\n{\"text\"\n{}\n").unwrap();
        for (line, words) in
            [(0, "line 1: column `text` is a number"), (2, "line 3: "), (3, "line 4: column `text` is missing")]
        {
            let problem = found[line].clone().unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(found[1], Ok("b".to_string()));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_rest_in_silence() {
        let problem = table(b"id,text\n1,a\n2,\"b\n3,c\n4,d\n").unwrap_err();
        assert!(problem.contains("begins in line 3 is never closed"), "{problem}");
        let problem = table(b"text,id\n\"b,1\n").unwrap_err();
        assert!(problem.contains("never closed"), "{problem}");
    }

    #[test]
    fn a_quote_that_one_row_lacks_does_not_join_rows_in_silence() {
        let found = table(b"id,text\n1,\"a\"\n2,\"b\n3,\"c\"\n").unwrap_err();
        assert!(found.contains("line 4: a value goes on behind a closing quote (opened in line 3)"), "{found}");
    }

    #[test]
    fn other_separators_and_encodings_give_the_same_texts() {
        for bytes in [
            &b"id;text\n1;a, b\n"[..],
            b"sep=;\nid;text\n1;a, b\n",
            b"id|text\n1|a, b\n",
            b"\xfe\xff\0t\0e\0x\0t\0;\0i\0\n\0a\0,\0 \0b\0;\x001\0\n",
            b"t\0e\0x\0t\0;\0i\0\n\0a\0,\0 \0b\0;\x001\0\n\0",
        ] {
            assert_eq!(table(Box::leak(Box::from(bytes))).unwrap(), all(&["a, b"]), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_table_without_the_column_is_answered_with_those_that_it_has() {
        assert!(table(b"id,comment\n1,a\n").unwrap_err().contains("no column `text`; it has id, comment"));
        assert!(table(b"text,text\n1,a\n").unwrap_err().contains("two columns `text`"));
        assert!(table(b"").unwrap_err().contains("is empty"));
        assert_eq!(table(b"\xff\xfet\0e\0x\0t\0\n\0a\0\n\0").unwrap(), all(&["a"]));
        assert!(table(b"PAR1\x15\x04").unwrap_err().contains("parquet"));
        assert!(table(b"\xff\n").unwrap_err().contains("header is not UTF-8"));
    }
}
