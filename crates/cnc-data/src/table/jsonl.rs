//! JSON Lines: one object a line, whose keys are the columns.
//!
//! Empty lines are passed over. Messages name lines, from 1, as editors count.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::column::{Column, Reading};
use super::encoding::{not_utf8, plain};
use super::text::TextTable;
use super::{Cell, DataFile};
use crate::DataError;

/// Reads the columns of `wanted` that the file has.
///
/// # Errors
/// The file is missing or empty, or a line is not UTF-8, not one JSON object, names a wanted key twice or has a value
/// that cannot be read as what is wanted: with its line.
pub fn open(file: DataFile, wanted: &[(&str, Reading)]) -> Result<TextTable, DataError> {
    let bytes = plain(file.read()?).map_err(|problem| DataError::File { file: file.name.clone(), problem })?;
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut table = TextTable::new(file);
    let mut columns: Vec<Column> = wanted.iter().map(|(_, reading)| Column::new(*reading)).collect();
    let mut names: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = table.rows();
        table.lines.push(number);
        let text = std::str::from_utf8(line).map_err(|_| table.error(not_utf8(&bytes, body, number.into())))?;
        let values = parsed(text, wanted, &mut names)
            .map_err(|(column, said)| table.error(format!("line {number}, column {column}: {said}")))?;
        for (((name, _), column), value) in wanted.iter().zip(&mut columns).zip(values) {
            put(column, value).map_err(|problem| table.row_error(row, name, problem))?;
        }
    }
    if table.rows() == 0 {
        return Err(table.error("is empty: one JSON object a line is needed".to_string()));
    }
    table.finish(names, wanted.iter().copied().zip(columns));
    Ok(table)
}

/// The text in one column of a line.
pub(super) fn text_of(line: &str, column: &str) -> Result<String, String> {
    let values = parsed(line, &[(column, Reading::Texts)], &mut Vec::new()).map_err(|(_, said)| said)?;
    match values.into_iter().next().flatten() {
        Some(Value::String(text)) => Ok(text),
        other => Err(format!("column `{column}` {}; every row needs a text here", kind(other.as_ref()))),
    }
}

/// The values of a line's object that are wanted; or the place in the line, and what is wrong there.
fn parsed(
    line: &str,
    wanted: &[(&str, Reading)],
    names: &mut Vec<String>,
) -> Result<Vec<Option<Value>>, (usize, String)> {
    let mut values = vec![None; wanted.len()];
    let object = Object { wanted, values: &mut values, names };
    let mut json = serde_json::Deserializer::from_str(line.trim_end());
    match object.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Ok(values),
        Err(e) => {
            let said = e.to_string();
            let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(problem, _)| problem);
            Err((e.column(), said.to_string()))
        }
    }
}

/// What a value is, for messages; `None` where the row does not have the key.
fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "is missing",
        Some(Value::Null) => "is null",
        Some(Value::Bool(_)) => "is a truth value",
        Some(Value::Number(_)) => "is a number",
        Some(Value::String(_)) => "is a text",
        Some(Value::Array(_)) => "is a list",
        Some(Value::Object(_)) => "is an object",
    }
}

/// Adds a row's value to its column; `None` where the row does not have the key.
fn put(column: &mut Column, value: Option<Value>) -> Result<(), String> {
    let kind = kind(value.as_ref());
    match (column, value) {
        (Column::Texts(texts), Some(Value::String(text))) => texts.push(&text),
        (Column::Texts(_), _) => return Err(format!("{kind}; every row needs a text here")),
        (Column::Numbers(numbers), None | Some(Value::Null)) => numbers.push(None),
        (Column::Numbers(numbers), Some(Value::Bool(truth))) => numbers.push(Some(f64::from(u8::from(truth)))),
        (Column::Numbers(numbers), Some(Value::Number(number))) => numbers.push(number.as_f64()),
        (column @ Column::Numbers(_), Some(Value::String(text))) => column.push(&text)?,
        (Column::Numbers(_), _) => return Err(format!("{kind}; a number is needed")),
        (Column::Cells(cells), Some(Value::Bool(truth))) => cells.push(Cell::Truth(truth)),
        (Column::Cells(cells), Some(Value::Number(number))) => cells.push(match number.as_i64() {
            Some(number) => Cell::Integer(number),
            None => Cell::Text(number.to_string()),
        }),
        (Column::Cells(cells), Some(Value::String(text))) if !text.trim().is_empty() => cells.push(Cell::Text(text)),
        (Column::Cells(_), Some(Value::String(_))) => {
            return Err("is empty; every row needs a value here".to_string());
        }
        (Column::Cells(_), _) => return Err(format!("{kind}; every row needs a whole number or a word here")),
    }
    Ok(())
}

/// One line's object, of which the wanted values are kept.
struct Object<'a> {
    wanted: &'a [(&'a str, Reading)],
    values: &'a mut [Option<Value>],
    /// All keys that were seen so far.
    names: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object a line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !self.names.iter().any(|name| *name == key) {
                self.names.push(key.to_string());
            }
            let places: Vec<usize> = (0..self.wanted.len())
                .filter(|place| self.wanted.get(*place).is_some_and(|(name, _)| *name == key))
                .collect();
            if places.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<Value>()?;
            for place in places {
                if let Some(slot) = self.values.get_mut(place)
                    && slot.replace(value.clone()).is_some()
                {
                    return Err(serde::de::Error::custom(format_args!("the key `{key}` stands twice")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Location;
    use super::*;

    const WANTED: [(&str, Reading); 3] = [("text", Reading::Texts), ("y", Reading::Cells), ("share", Reading::Numbers)];

    fn read(text: impl AsRef<[u8]>) -> Result<TextTable, DataError> {
        let bytes: &'static [u8] = Box::leak(text.as_ref().to_vec().into_boxed_slice());
        open(
            DataFile {
                name: "rows.jsonl".into(),
                location: Location::Embedded(bytes),
                remedy: crate::Remedy::CopyAgain,
            },
            &WANTED,
        )
    }

    fn refusal(text: impl AsRef<[u8]>) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn every_line_is_a_row_whatever_the_order_of_its_keys_and_the_line_endings() {
        let table = read(
            "\u{feff}{\"text\": \"a \\\"b\\\"\\n\u{e9} \\ud83d\\ude00\", \"y\": 1, \"share\": 0.5, \"id\": [1, {}]}\r\n\r\n\
             {\"share\": null, \"y\": \"no\", \"text\": \"\"}\n{\"y\": true, \"text\": \"null\", \"share\": \"0.25\"}",
        )
        .unwrap();
        let texts = table.texts("text").unwrap();
        assert_eq!((0..3).map(|row| texts.get(row).unwrap()).collect::<Vec<_>>(), ["a \"b\"\né 😀", "", "null"]);
        assert_eq!(table.cells("y").unwrap(), [Cell::Integer(1), Cell::Text("no".into()), Cell::Truth(true)]);
        assert_eq!(table.numbers("share").unwrap(), [Some(0.5), None, Some(0.25)]);
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_column() {
        let good = "{\"text\": \"a\", \"y\": 1, \"share\": 1}\n\n";
        let cases = [
            ("{\"text\": \"a\", \"y\" 1}", "line 3, column 19: expected `:`"),
            ("{\"text\": \"a\"", "line 3, column 12: EOF while parsing an object"),
            ("[1, 2]", "line 3, column 0: invalid type: sequence, expected one JSON object a line"),
            ("{\"y\": 1, \"y\": 2, \"text\": \"a\"}", "the key `y` stands twice"),
            ("{\"y\": 1, \"text\": \"a\"} {}", "line 3, column 23: trailing characters"),
            ("{\"y\": 1, \"text\": \"a\0b\"}", "line 3, column 20: control character"),
            ("{\"y\": 1}", "line 3: column `text`: is missing; every row needs a text here"),
            ("{\"y\": 1, \"text\": null}", "line 3: column `text`: is null"),
            ("{\"y\": 1, \"text\": 7}", "line 3: column `text`: is a number"),
            ("{\"y\": null, \"text\": \"a\"}", "line 3: column `y`: is null"),
            ("{\"y\": 1, \"text\": \"a\", \"share\": \"much\"}", "line 3: column `share`: \"much\" is not a number"),
            ("{\"y\": 1, \"text\": \"a\", \"share\": [1]}", "line 3: column `share`: is a list; a number is needed"),
        ];
        for (line, expected) in cases {
            let message = refusal(format!("{good}{line}\n"));
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_named_with_their_place() {
        let message = refusal(b"{\"text\": \"a\", \"y\": 1}\n{\"text\": \"caf\xe9\", \"y\": 1}\n");
        assert!(message.contains("line 2 is not UTF-8 text (byte 35 of the file:"), "{message}");
    }

    #[test]
    fn an_escaped_nul_is_part_of_the_text_and_half_a_pair_of_surrogates_is_an_error() {
        let table = read("{\"text\": \"a\\u0000b\", \"y\": 1}").unwrap();
        assert_eq!(table.texts("text").unwrap().get(0), Some("a\0b"));
        assert!(refusal("{\"text\": \"\\ud83d\", \"y\": 1}").contains("line 1, column"));
    }

    #[test]
    fn a_column_that_no_row_has_is_answered_with_those_that_exist() {
        let table = read("{\"text\": \"a\", \"y\": 1, \"other\": 2}").unwrap();
        let message = table.numbers("share").unwrap_err().to_string();
        assert!(message.contains("no column `share`; it has text, y, other"), "{message}");
    }

    #[test]
    fn an_empty_file_is_called_empty() {
        for text in ["", "\n\n"] {
            assert!(refusal(text).contains("is empty"), "{text:?}");
        }
    }
}
