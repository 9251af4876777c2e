//! Which variables are not trained.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

/// The names that `patterns` freeze, of `names`, the variables of a model; `body` is a prefix that patterns may leave out.
///
/// A pattern is the start of a name, in whole parts: `embeddings`, `encoder.layer.3`; a part may be a range of numbers,
/// both ends included: `encoder.layer.0-5`.
///
/// ```
/// use cnc_models::frozen;
///
/// let names: Vec<String> = ["bert.layer.0.weight", "bert.layer.1.weight", "head.weight"].map(String::from).into();
/// let frozen = frozen(&["layer.0-1".to_owned()], &names, "bert")?;
/// assert_eq!(Vec::from_iter(frozen), names[..2]);
/// # Ok::<(), cnc_models::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownPattern`] for a pattern that names no variable, or whose range holds a number that names none, with the
/// patterns that would.
pub fn frozen(patterns: &[String], names: &[String], body: &str) -> Result<BTreeSet<String>> {
    let within = |name: &str| -> Vec<String> {
        let rest = name.strip_prefix(body).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
        rest.split('.').map(String::from).collect()
    };
    let parts: Vec<(&String, Vec<String>)> = names.iter().map(|name| (name, within(name))).collect();
    let mut frozen = BTreeSet::new();
    for pattern in patterns {
        for prefix in alternatives(&within(pattern)) {
            let matching: Vec<&String> =
                parts.iter().filter(|(_, parts)| parts.starts_with(&prefix)).map(|(name, _)| *name).collect();
            if matching.is_empty() {
                let valid = valid(parts.iter().map(|(_, parts)| parts.as_slice())).join(", ");
                return Err(Error::UnknownPattern { pattern: pattern.clone(), part: prefix.join("."), valid });
            }
            frozen.extend(matching.into_iter().cloned());
        }
    }
    Ok(frozen)
}

/// All prefixes that a pattern with ranges stands for.
fn alternatives(pattern: &[String]) -> Vec<Vec<String>> {
    let mut prefixes = vec![Vec::new()];
    for part in pattern {
        let numbers = part.split_once('-').and_then(|(from, to)| Some(from.parse::<u16>().ok()?..=to.parse().ok()?));
        let choices: Vec<String> = match numbers {
            Some(numbers) if !numbers.is_empty() => numbers.map(|number| number.to_string()).collect(),
            _ => vec![part.clone()],
        };
        let extend = |prefix: Vec<String>| {
            choices.iter().map(move |choice| [&prefix[..], std::slice::from_ref(choice)].concat()).collect::<Vec<_>>()
        };
        prefixes = prefixes.into_iter().flat_map(extend).collect();
    }
    prefixes
}

/// The patterns to choose from: first parts of names, and for numbered layers the range of all of them.
fn valid<'a>(names: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    let mut ranges: BTreeMap<String, Option<u16>> = BTreeMap::new();
    for parts in names {
        let numbered = parts.iter().enumerate().find_map(|(i, part)| Some((i, part.parse::<u16>().ok()?)));
        match (numbered, parts.first()) {
            (Some((i, number)), _) => {
                let last = ranges.entry(parts[..i].join(".")).or_default();
                *last = (*last).max(Some(number));
            }
            (None, Some(first)) => {
                ranges.entry(first.clone()).or_default();
            }
            (None, None) => {}
        }
    }
    let text = |(prefix, last): (String, Option<u16>)| match last {
        Some(last) => format!("{prefix}.0-{last}"),
        None => prefix,
    };
    ranges.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        let layers =
            (0..12).flat_map(|i| [format!("bert.encoder.layer.{i}.a.weight"), format!("bert.encoder.layer.{i}.b")]);
        ["bert.embeddings.words.weight", "classifier.weight"].map(String::from).into_iter().chain(layers).collect()
    }

    fn freeze(patterns: &[&str]) -> Result<Vec<String>> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Ok(frozen(&patterns, &names(), "bert")?.into_iter().collect())
    }

    #[test]
    fn a_pattern_freezes_whole_parts_of_names_alone() {
        assert_eq!(freeze(&["encoder.layer.1"]).unwrap(), ["bert.encoder.layer.1.a.weight", "bert.encoder.layer.1.b"]);
        assert_eq!(freeze(&["bert.embeddings"]).unwrap(), ["bert.embeddings.words.weight"]);
        assert_eq!(freeze(&["embeddings", "encoder.layer.0-5"]).unwrap().len(), 1 + 6 * 2);
        assert_eq!(freeze(&["encoder.layer.9-11.b"]).unwrap().len(), 3);
        assert!(freeze(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_pattern_that_names_nothing_is_refused_with_those_that_do() {
        for (pattern, part) in [
            ("embedings", "embedings"),
            ("encoder.layer.10-12", "encoder.layer.12"),
            ("encoder.layer.5-3", "encoder.layer.5-3"),
            ("", ""),
        ] {
            assert_eq!(
                freeze(&[pattern]).unwrap_err().to_string(),
                format!(
                    "freeze={pattern}: no variable starts with {part:?}; choose from classifier, embeddings, \
                     encoder.layer.0-11 or parts of these"
                )
            );
        }
    }
}
