//! Columns of a table while they are read: as what their values are taken, and where they are kept.

use super::{Cell, Texts};

/// As what the values of a column are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// Whole numbers, truth values or words: every row needs one.
    Cells,
    /// Numbers: a row may have none.
    Numbers,
    /// Texts as they are, spaces and all: a row may have an empty one.
    Texts,
}

/// The values of a column that were read so far.
#[derive(Debug)]
pub(super) enum Column {
    Cells(Vec<Cell>),
    Numbers(Vec<Option<f64>>),
    Texts(Texts),
}

impl Column {
    pub(super) fn new(reading: Reading) -> Self {
        match reading {
            Reading::Cells => Self::Cells(Vec::new()),
            Reading::Numbers => Self::Numbers(Vec::new()),
            Reading::Texts => Self::Texts(Texts::default()),
        }
    }

    /// Adds the value of the next row, written as text; or says what is wrong with it.
    pub(super) fn push(&mut self, written: &str) -> Result<(), String> {
        match self {
            Self::Cells(cells) => match written.trim() {
                "" => return Err("is empty; every row needs a value here".to_string()),
                text => cells.push(Cell::from_text(text)),
            },
            Self::Numbers(numbers) => numbers.push(number(written)?),
            Self::Texts(texts) => texts.push(written),
        }
        Ok(())
    }
}

/// The number that a text is; nothing where it is empty.
pub(super) fn number(written: &str) -> Result<Option<f64>, String> {
    let text = written.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let found = match text.parse::<f64>() {
        Ok(number) => Some(number),
        Err(_) => match Cell::from_text(text).value() {
            Cell::Truth(truth) => Some(f64::from(u8::from(truth))),
            _ => None,
        },
    };
    match found.filter(|number| !number.is_nan()) {
        Some(number) => Ok(Some(number)),
        None if text.contains(',') && text.replacen(',', ".", 1).parse::<f64>().is_ok() => {
            Err(format!("{text:?} has a decimal comma: write {}", text.replacen(',', ".", 1)))
        }
        None => Err(format!("{text:?} is not a number")),
    }
}
