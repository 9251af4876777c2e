//! One cell.

use std::fmt;

/// One cell of a column that says something about a row: its class, its attribute, its split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// A whole number, or a truth value as 0 or 1.
    Integer(i64),
    /// Text.
    Text(String),
}

impl Cell {
    /// A whole number where the text is one as it is written here; `007` is text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(value) if value.to_string() == text => Self::Integer(value),
            _ => Self::Text(text.to_string()),
        }
    }

    /// What [`Cell::from_text`] was given.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The same value as another file may write it: a number as text, `True` as 1, `1.0` as 1.
    #[must_use]
    pub fn other_form(&self) -> Option<Self> {
        match self {
            Self::Integer(value) => Some(Self::Text(value.to_string())),
            Self::Text(text) => match text.trim() {
                "true" | "True" | "TRUE" => Some(Self::Integer(1)),
                "false" | "False" | "FALSE" => Some(Self::Integer(0)),
                number => {
                    let value = number.parse::<f64>().ok()?;
                    (value.fract() == 0.0 && value.abs() < 9e15).then_some(Self::Integer(value as i64))
                }
            },
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}
