//! One cell.

use std::fmt;

/// One cell of a column that says something about a row: its class, its attribute, its split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// A truth value.
    Truth(bool),
    /// A whole number.
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
            Self::Truth(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The value, however a file writes it: without spaces around it, `True` and `TRUE` as the truth value, `1.0` as 1.
    #[must_use]
    pub fn value(&self) -> Self {
        let Self::Text(text) = self else { return self.clone() };
        let text = text.trim();
        if ["true", "True", "TRUE"].contains(&text) {
            return Self::Truth(true);
        }
        if ["false", "False", "FALSE"].contains(&text) {
            return Self::Truth(false);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        match text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 && !is_code => Self::Integer(number as i64),
            _ => Self::Text(text.to_string()),
        }
    }

    /// The same as a number and not a truth value, or the other way round: 1 and true, 0 and false.
    pub(crate) fn counterpart(&self) -> Option<Self> {
        match self {
            Self::Truth(value) => Some(Self::Integer(i64::from(*value))),
            Self::Integer(0) => Some(Self::Truth(false)),
            Self::Integer(1) => Some(Self::Truth(true)),
            _ => None,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cell;

    #[test]
    fn a_value_is_one_however_it_is_written() {
        let text = |text: &str| Cell::Text(text.to_string()).value();
        for written in ["1", " 1 ", "1.0", "1.", "1e0", "+1"] {
            assert_eq!(text(written), Cell::Integer(1), "{written:?}");
        }
        assert_eq!([text("True"), text(" true"), Cell::Truth(true).value()], [const { Cell::Truth(true) }; 3]);
        for word in ["007", "1.5", "yes", "0,75", "NaN", "inf", ""] {
            assert_eq!(text(word), Cell::Text(word.to_string()));
        }
        assert_eq!(text("0.0"), Cell::Integer(0));
    }
}
