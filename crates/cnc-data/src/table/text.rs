//! Tables written as text: CSV (RFC 4180), values between tabs, and lists between spaces.
//!
//! The first line with names decides: with commas in it the file is CSV, with tabs, semicolons or bars it is values between
//! these, else values are separated by any number of spaces. A line `sep=;` above says it outright. Files packed with gzip and
//! UTF-16 are understood, a byte-order mark, either line ending and quoted values with commas, quotes
//! and line breaks in them are understood. Two habits of published lists are too: a first line that holds nothing but
//! the number of rows, and a header without a name for its first column.
//!
//! Messages name the line that a row begins in, from 1, as editors count.

use std::collections::HashMap;
use std::path::Path;

use csv::ByteRecord;

use super::column::{Column, Reading};
use super::encoding::{CONVERT, not_utf8, plain};
use super::records::{Form, Records, form, line_of};
use super::{Cell, DataFile, Location, Texts};
use crate::DataError;
use crate::row_place::{RowPlace, RowPlaces};

/// Fields of a row that a message shows.
const SHOWN: usize = 8;
/// Characters of a field that a message shows.
const LONGEST_SHOWN: usize = 80;

/// A text table; the columns asked for are in memory.
#[derive(Debug)]
pub struct TextTable {
    file: DataFile,
    names: Vec<String>,
    columns: HashMap<(String, Reading), Column>,
    /// The line that each row begins in, from 1.
    pub(super) lines: Vec<u32>,
}

/// What a text table leaves to those who know it.
#[derive(Debug, Clone, Copy)]
pub struct TextForm<'a> {
    /// The name of the first column, where the header has none for it.
    pub first: &'a str,
    /// The names of all columns, where there is no header.
    pub names: Option<&'a [String]>,
}

impl TextTable {
    /// Reads the columns of `wanted` that the table has.
    ///
    /// # Errors
    /// The file is missing, is not UTF-8 text, names a wanted column twice, or has a row that is shorter or longer than
    /// its header, or another number of rows than its first line says.
    pub fn open(file: DataFile, wanted: &[(&str, Reading)], form: TextForm<'_>) -> Result<Self, DataError> {
        let bytes = plain(file.read()?).map_err(|problem| DataError::File { file: file.name.clone(), problem })?;
        let whole = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let (count, body) = leading_count(whole);
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        let mut lines = Lines::new(body, &names, u64::from(count.is_some()));
        let mut table = Self::new(file);
        let Some(first) = lines.next().transpose().map_err(|e| table.error(e))? else {
            return Err(table.error("is empty: a header and rows are needed".to_string()));
        };
        let header = fields(&first).ok_or_else(|| table.error(format!("the header is not UTF-8 text; {CONVERT}")))?;
        let header: Vec<String> = header.into_iter().map(str::to_string).collect();
        let (names, pending) = match form.names {
            Some(names) if header != names => (names.to_vec(), Some(first)),
            _ => {
                let second = lines.next().transpose().map_err(|e| table.error(e))?;
                let unnamed = second.as_ref().is_some_and(|row| row.len() == header.len() + 1);
                (named(header, form.first, unnamed), second)
            }
        };
        table.names = names;
        let places = table.places(wanted)?;
        let mut columns: Vec<Column> = places.iter().map(|(_, reading, _)| Column::new(*reading)).collect();
        for record in pending.into_iter().map(Ok).chain(lines) {
            let record = record.map_err(|e| table.error(e))?;
            let (row, line) = (table.lines.len(), line_of(&record));
            table.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
            let texts = fields(&record).ok_or_else(|| table.error(not_utf8(&bytes, body, line)))?;
            if texts.len() != table.names.len() {
                return Err(table.wrong_length(line, &texts));
            }
            for ((name, _, place), column) in places.iter().zip(&mut columns) {
                let text = texts.get(*place).copied().unwrap_or_default();
                column.push(text).map_err(|problem| table.row_error(row, name, problem))?;
            }
        }
        if let Some(count) = count
            && count != table.rows()
        {
            let problem = format!("says in its first line that it has {count} rows, but has {}", table.rows());
            return Err(table.file.damaged(problem));
        }
        let names = std::mem::take(&mut table.names);
        table.finish(names, places.iter().map(|(name, reading, _)| (*name, *reading)).zip(columns));
        Ok(table)
    }

    pub(super) fn new(file: DataFile) -> Self {
        Self { file, names: Vec::new(), columns: HashMap::new(), lines: Vec::new() }
    }

    /// Takes what was read.
    pub(super) fn finish<'a>(
        &mut self,
        names: Vec<String>,
        columns: impl Iterator<Item = ((&'a str, Reading), Column)>,
    ) {
        self.names = names;
        self.columns = columns.map(|((name, reading), column)| ((name.to_string(), reading), column)).collect();
    }

    /// What messages call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Where it is; none where it comes with the program.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.file.location {
            Location::Disk(path) => Some(path),
            Location::Embedded(_) => None,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Where a row stands.
    pub(crate) fn place(&self, row: usize) -> RowPlace {
        self.lines.get(row).map_or(RowPlace::row(row), |line| RowPlace::Line(*line))
    }

    /// Where its rows stand, for when the table is gone.
    pub(crate) fn places_of_rows(&self) -> RowPlaces {
        RowPlaces::Lines(self.lines.as_slice().into())
    }

    /// The names of its columns, read or not.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the table has a column of this name.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.names.iter().any(|name| name == column)
    }

    /// All cells of a column that was asked for.
    ///
    /// # Errors
    /// No such column.
    pub fn cells(&self, column: &str) -> Result<&[Cell], DataError> {
        match self.columns.get(&(column.to_string(), Reading::Cells)) {
            Some(Column::Cells(cells)) => Ok(cells),
            _ => Err(self.no_column(column)),
        }
    }

    /// All numbers of a column that was asked for.
    ///
    /// # Errors
    /// No such column.
    pub fn numbers(&self, column: &str) -> Result<&[Option<f64>], DataError> {
        match self.columns.get(&(column.to_string(), Reading::Numbers)) {
            Some(Column::Numbers(numbers)) if self.has(column) => Ok(numbers),
            _ => Err(self.no_column(column)),
        }
    }

    /// All texts of a column that was asked for.
    ///
    /// # Errors
    /// No such column.
    pub fn texts(&self, column: &str) -> Result<&Texts, DataError> {
        match self.columns.get(&(column.to_string(), Reading::Texts)) {
            Some(Column::Texts(texts)) => Ok(texts),
            _ => Err(self.no_column(column)),
        }
    }

    /// All texts of a column that was asked for; the table is not needed any more.
    pub(crate) fn into_texts(mut self, column: &str) -> Result<Texts, DataError> {
        match self.columns.remove(&(column.to_string(), Reading::Texts)) {
            Some(Column::Texts(texts)) => Ok(texts),
            _ => Err(self.no_column(column)),
        }
    }

    fn no_column(&self, column: &str) -> DataError {
        let names = self.names.iter().take(50).map(String::as_str).collect::<Vec<_>>().join(", ");
        let hint = if self.names.len() == 1 { ": are its values separated by something else than commas?" } else { "" };
        self.error(format!("has no column `{column}`; it has {names}{hint}"))
    }

    /// An error about one cell.
    pub(crate) fn row_error(&self, row: usize, column: &str, problem: String) -> DataError {
        DataError::Row { file: self.file.name.clone(), place: self.place(row), column: column.to_string(), problem }
    }

    pub(super) fn error(&self, problem: String) -> DataError {
        DataError::File { file: self.file.name.clone(), problem }
    }

    /// Where the wanted columns are, as far as they are here.
    fn places<'a>(&self, wanted: &[(&'a str, Reading)]) -> Result<Vec<(&'a str, Reading, usize)>, DataError> {
        let mut places: Vec<(&str, Reading, usize)> = Vec::new();
        for (column, reading) in wanted {
            let mut found = self.names.iter().enumerate().filter(|(_, name)| name == column).map(|(place, _)| place);
            let Some(place) = found.next() else { continue };
            if found.next().is_some() {
                return Err(self.error(format!("has two columns `{column}`; rename or remove one of them")));
            }
            if !places.contains(&(column, *reading, place)) {
                places.push((column, *reading, place));
            }
        }
        Ok(places)
    }

    fn wrong_length(&self, line: u64, texts: &[&str]) -> DataError {
        let start: Vec<String> = texts.iter().take(SHOWN).map(|text| shortened(text)).collect();
        let more = if texts.len() > SHOWN { " ..." } else { "" };
        let missing = match self.names.get(texts.len()) {
            Some(column) => format!("`{column}` and what follows is missing"),
            None => "a comma inside a value needs quotes around the value".to_string(),
        };
        self.error(format!(
            "line {line} has {} values where the header has {}: {missing} (the row: {}{more})",
            texts.len(),
            self.names.len(),
            start.join(" | ")
        ))
    }
}

/// The fields of a record; nothing where one of them is not UTF-8.
fn fields(record: &ByteRecord) -> Option<Vec<&str>> {
    record.iter().map(|field| std::str::from_utf8(field).ok()).collect()
}

/// The start of a value for a message.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(LONGEST_SHOWN).collect();
    if start.len() < text.len() {
        start.push_str("...");
    }
    start
}

/// The names of a header; `first` where it has none for its first column.
fn named(mut header: Vec<String>, first: &str, unnamed: bool) -> Vec<String> {
    header.iter_mut().for_each(|name| *name = name.trim().to_string());
    if header.iter().any(|name| name == first) {
        return header;
    }
    if unnamed {
        header.insert(0, first.to_string());
    } else if header.first().is_some_and(String::is_empty) {
        header.splice(..1, [first.to_string()]);
    }
    header
}

/// A first line that is one whole number, and what comes after it.
fn leading_count(body: &[u8]) -> (Option<usize>, &[u8]) {
    let end = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
    let line = body.get(..end).unwrap_or_default().trim_ascii();
    let rest = body.get(end + 1..).unwrap_or_default();
    let count = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
    match count {
        Some(count) if !rest.trim_ascii().is_empty() => (Some(count), rest),
        _ => (None, body),
    }
}

/// The records of a text, without empty lines.
enum Lines<'a> {
    Separated(Box<Records<&'a [u8]>>),
    Spaced { rest: &'a [u8], line: u64 },
}

impl<'a> Lines<'a> {
    /// The lines of a table of the wanted columns, which begins behind `above` lines of its file.
    fn new(body: &'a [u8], wanted: &[&str], above: u64) -> Self {
        let start = body.trim_ascii_start();
        let above = above + body.iter().take(body.len() - start.len()).filter(|byte| **byte == b'\n').count() as u64;
        let end = start.iter().position(|byte| *byte == b'\n').map_or(start.len(), |end| end + 1);
        let (line, below) = start.split_at(end);
        match form(line, wanted) {
            Form { separator: Some(separator), is_said: true } => {
                Self::Separated(Box::new(Records::new(below, separator, above + 1)))
            }
            Form { separator: Some(separator), is_said: false } => {
                Self::Separated(Box::new(Records::new(start, separator, above)))
            }
            Form { separator: None, .. } => Self::Spaced { rest: start, line: above },
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<ByteRecord, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Separated(records) => {
                let mut record = ByteRecord::new();
                records.read(&mut record).map(|is_there| is_there.then_some(record)).transpose()
            }
            Self::Spaced { rest, line } => loop {
                if rest.is_empty() {
                    return None;
                }
                let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
                let (text, after) = rest.split_at(end);
                let mut at = csv::Position::new();
                *line += 1;
                at.set_line(*line);
                *rest = after;
                let fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
                let mut record = ByteRecord::from_iter(fields);
                if !record.is_empty() {
                    record.set_position(Some(at));
                    return Some(Ok(record));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_cells<'a>(wanted: &[&'a str]) -> Vec<(&'a str, Reading)> {
        wanted.iter().map(|column| (*column, Reading::Cells)).collect()
    }

    fn open(text: impl AsRef<[u8]>, wanted: &[&str]) -> Result<TextTable, DataError> {
        let bytes: &'static [u8] = Box::leak(text.as_ref().to_vec().into_boxed_slice());
        let file =
            DataFile { name: "list".into(), location: Location::Embedded(bytes), remedy: crate::Remedy::CopyAgain };
        TextTable::open(file, &as_cells(wanted), TextForm { first: "image", names: None })
    }

    fn column(table: &TextTable, name: &str) -> Vec<String> {
        table.cells(name).unwrap().iter().map(Cell::text).collect()
    }

    fn refusal(text: impl AsRef<[u8]>) -> String {
        open(text, &["image", "y"]).unwrap_err().to_string()
    }

    #[test]
    fn byte_order_mark_line_endings_and_quotes_change_nothing() {
        let forms = [
            "image,y\na.jpg,1\nb c.jpg,0\n",
            "\u{feff}image,y\r\na.jpg,1\r\nb c.jpg,0",
            "\u{feff}\"image\",\"y\"\n\"a.jpg\",\"1\"\n\n\"b c.jpg\",0\n",
            "image\ty\na.jpg\t1\nb c.jpg\t0\n",
            "image;y\na.jpg;1\nb c.jpg;0\n",
            "image|y\na.jpg|1\nb c.jpg|0\n",
            "sep=;\r\nimage;y\r\na.jpg;1\r\nb c.jpg;0\r\n",
            "image,y,\"a;b;c\"\na.jpg,1,x\nb c.jpg,0,y\n",
        ];
        for form in forms {
            let table = open(form, &["image", "y"]).unwrap();
            assert_eq!(column(&table, "image"), ["a.jpg", "b c.jpg"], "{form:?}");
            assert_eq!(table.cells("y").unwrap(), [Cell::Integer(1), Cell::Integer(0)]);
        }
    }

    #[test]
    fn line_breaks_commas_and_quotes_inside_quotes_are_part_of_one_value() {
        let table = open("image,text,y\n7.png,\"He said \"\"no\"\",\nthen left, ok\",1\n", &["text", "y"]).unwrap();
        assert_eq!(column(&table, "text"), ["He said \"no\",\nthen left, ok"]);
        assert_eq!(table.rows(), 1);
    }

    #[test]
    fn a_published_list_is_read_with_or_without_its_count_and_the_name_of_its_first_column() {
        let rows = "000001.jpg -1  1\n000002.jpg  1 -1\n";
        for head in ["2\ny Male\n", "y Male\n", "2\r\nimage y Male \n"] {
            let table = open(format!("{head}{rows}"), &["image", "y", "Male"]).unwrap();
            assert_eq!(column(&table, "image"), ["000001.jpg", "000002.jpg"], "{head:?}");
            assert_eq!(table.cells("Male").unwrap(), [Cell::Integer(1), Cell::Integer(-1)]);
        }
        let message = refusal(format!("3\ny Male\n{rows}"));
        assert!(message.contains("3 rows, but has 2"), "{message}");
    }

    #[test]
    fn names_given_for_a_list_without_a_header_do_not_hide_a_header() {
        let names = ["image".to_string(), "part".to_string()];
        for text in ["a.jpg 0\nb.jpg 2\n", "image,part\na.jpg,0\nb.jpg,2\n", "a.jpg,0\nb.jpg,2\n"] {
            let file = DataFile {
                name: "list".into(),
                location: Location::Embedded(Box::leak(text.as_bytes().to_vec().into_boxed_slice())),
                remedy: crate::Remedy::CopyAgain,
            };
            let form = TextForm { first: "image", names: Some(&names) };
            let table = TextTable::open(file, &as_cells(&["image", "part"]), form).unwrap();
            assert_eq!(table.cells("part").unwrap(), [Cell::Integer(0), Cell::Integer(2)], "{text:?}");
        }
    }

    #[test]
    fn a_short_or_long_row_is_named_with_what_it_lacks() {
        let message = refusal("image,place,y\na.jpg,0,1\nb.jpg,0\n");
        assert!(message.contains("line 3 has 2 values where the header has 3: `y`"), "{message}");
        let message = refusal("image,y\na,b.jpg,0\n");
        assert!(message.contains("line 2 has 3 values"), "{message}");
        let message = refusal("image,y\na.jpg,0\nb,c.jpg,0\n");
        assert!(message.contains("line 3 has 3 values") && message.contains("needs quotes"), "{message}");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_rows_in_silence() {
        for text in ["image,y\na.jpg,1\nb.jpg,\"0\nc.jpg,1\nd.jpg,0\n", "image,y\na.jpg,1\nb.jpg,\"0"] {
            let message = refusal(text);
            assert!(message.contains("begins in line 3 is never closed"), "{message}");
        }
        assert!(refusal("image,\"y\na.jpg,1\n").contains("line 1 is never closed"));
    }

    #[test]
    fn what_follows_a_closing_quote_is_an_error_with_its_line() {
        // Three rows that a lenient reader takes for two; quotes escaped with a backslash.
        for (text, line) in [
            ("y,image\n1,\"a\"\n2,\"b\n3,\"c\"\n", "line 4: "),
            ("image,y\n\"He said \\\"no\\\"\",1\n", "line 2: "),
            ("sep=,\nimage,y\n\"a\" ,1\n", "line 3: "),
        ] {
            let message = refusal(text);
            assert!(message.contains(line) && message.contains("behind a closing quote"), "{message}");
        }
    }

    #[test]
    fn another_kind_of_file_is_named_and_a_decimal_comma_is_no_number() {
        for (start, word) in
            [(&b"PK\x03\x04.."[..], ".xlsx"), (b"\xd0\xcf\x11\xe0", ".xls"), (b"BZh9", "bunzip2"), (b"PAR1", "parquet")]
        {
            assert!(refusal(start).contains(word), "{word}");
        }
        let bytes: &'static [u8] = b"image;y\na;0,75\n";
        let file =
            DataFile { name: "list".into(), location: Location::Embedded(bytes), remedy: crate::Remedy::CopyAgain };
        let form = TextForm { first: "image", names: None };
        let message = TextTable::open(file, &[("y", Reading::Numbers)], form).unwrap_err().to_string();
        assert!(message.contains("\"0,75\" has a decimal comma: write 0.75"), "{message}");
    }

    #[test]
    fn a_doubled_column_is_an_error_only_where_it_is_needed() {
        assert!(refusal("image,y,y\na.jpg,0,1\n").contains("two columns `y`"));
        open("image,y,x,x\na.jpg,0,1,1\n", &["image", "y"]).unwrap();
    }

    #[test]
    fn lines_are_counted_alike_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let lines = ["image,y", "a.jpg,0", "", "\"b", "b.jpg\",1", "c.jpg,", "d.jpg,1"].join(end);
            let message = refusal(lines.as_bytes());
            assert!(message.contains("line 6: column `y`: is empty"), "{end:?}: {message}");
            let table = open(lines.replace("c.jpg,", "c.jpg,1").as_bytes(), &["image", "y"]).unwrap();
            assert_eq!(table.lines, [2, 4, 6, 7], "{end:?}");
        }
    }

    #[test]
    fn a_missing_column_is_answered_with_those_that_exist() {
        let table = open("image:y\na.jpg:1\n", &["image", "y"]).unwrap();
        let message = table.cells("y").unwrap_err().to_string();
        assert!(message.contains("no column `y`") && message.contains("image:y"), "{message}");
        assert!(message.contains("something else than commas"), "{message}");
    }

    #[test]
    fn latin_1_is_named_with_its_line_and_place() {
        let message = refusal(b"image,y\na.jpg,1\ncaf\xe9.jpg,0\n");
        assert!(message.contains("line 3 is not UTF-8") && message.contains("byte 19 of the file"), "{message}");
        assert!(message.contains("iconv"), "{message}");
    }

    #[test]
    fn an_empty_value_is_named_and_words_for_nothing_stay_words() {
        assert!(refusal("image,y\na.jpg,0\nb.jpg,\n").contains("line 3: column `y`: is empty"));
        let table = open("image,y\nnull,NA\n", &["image", "y"]).unwrap();
        assert_eq!((column(&table, "image"), column(&table, "y")), (vec!["null".into()], vec!["NA".into()]));
    }

    #[test]
    fn the_byte_that_is_not_utf_8_is_counted_from_the_start_of_the_file_even_inside_quotes() {
        let message = refusal(b"\xef\xbb\xbfimage,y\n\"a\nb\nc\xff\",1\n");
        assert!(message.contains("line 2 is not UTF-8 text (byte 17 of the file"), "{message}");
        assert!(refusal(b"image,\xff\na,1\n").contains("the header is not UTF-8"));
        assert!(refusal(b"\xff\xfei\0,").contains("looks like UTF-16 and is not"));
    }

    #[test]
    fn a_column_of_texts_keeps_spaces_and_emptiness_and_one_of_numbers_may_have_gaps() {
        let bytes: &'static [u8] = b"image,text,share\n1,  two  ,0.5\n2,,\n3,NA,True\n4,\"\n\",1e-1\n";
        let file =
            || DataFile { name: "list".into(), location: Location::Embedded(bytes), remedy: crate::Remedy::CopyAgain };
        let form = TextForm { first: "image", names: None };
        let table = TextTable::open(file(), &[("text", Reading::Texts), ("share", Reading::Numbers)], form).unwrap();
        let texts = table.texts("text").unwrap();
        assert_eq!((0..4).map(|row| texts.get(row).unwrap()).collect::<Vec<_>>(), ["  two  ", "", "NA", "\n"]);
        assert_eq!(table.numbers("share").unwrap(), [Some(0.5), None, Some(1.0), Some(0.1)]);
        let message = TextTable::open(file(), &[("text", Reading::Numbers)], form).unwrap_err().to_string();
        assert!(message.contains("line 2: column `text`: \"two\" is not a number"), "{message}");
    }

    #[test]
    fn an_empty_file_is_called_empty() {
        for text in ["", "\u{feff}", "\n\n"] {
            assert!(refusal(text).contains("is empty"), "{text:?}");
        }
    }
}
