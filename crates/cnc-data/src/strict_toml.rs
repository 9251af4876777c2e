//! TOML where a misspelt key is an error that names the nearest valid one, for manifests and recipes alike.

use cnc_base::names::nearest;
use serde::de::DeserializeOwned;

/// A TOML text that does not have the form asked for.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}{hint}")]
pub struct StrictTomlError {
    /// The file, as the reader of the message knows it.
    pub file: String,
    /// What is wrong: line, the line's text, and what was expected.
    pub message: String,
    /// Ends the message with a remedy, or is empty.
    pub hint: String,
}

/// Reads `text` into `T`, whose structs say `#[serde(deny_unknown_fields)]`. `file` is only for messages.
///
/// # Errors
/// Bad syntax, a value of the wrong type, a missing or an unknown key: with the line and, for an unknown key, the
/// nearest valid one.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, StrictTomlError> {
    toml::from_str(text).map_err(|e| StrictTomlError {
        file: file.to_string(),
        message: e.to_string().trim_end().to_string(),
        hint: remedy(e.message()),
    })
}

/// Turns serde's "unknown field `a`, expected one of `b`, `c`" into a suggestion.
fn remedy(message: &str) -> String {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(found) = quoted.next() else { return String::new() };
    match nearest(found, quoted) {
        Some(word) => format!("\ndid you mean `{word}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Recipe {
        #[serde(rename = "temperature")]
        _temperature: f64,
        #[serde(rename = "epochs")]
        _epochs: Option<u32>,
    }

    fn message(text: &str) -> String {
        parse::<Recipe>(text, "recipe.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_nearest_valid_one() {
        let message = message("temprature = 0.05\n");
        assert!(message.starts_with("recipe.toml: TOML parse error at line 1"), "{message}");
        assert!(message.ends_with("did you mean `temperature`?"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_shown_with_its_line_and_both_types() {
        let message = message("epochs = 3\ntemperature = \"0.05\"\n");
        assert!(message.contains("line 2"), "{message}");
        assert!(message.contains("temperature = \"0.05\""), "{message}");
        assert!(message.contains("string") && message.contains("f64"), "{message}");
    }

    #[test]
    fn a_missing_key_is_named() {
        assert!(message("epochs = 3\n").contains("missing field `temperature`"));
    }
}
