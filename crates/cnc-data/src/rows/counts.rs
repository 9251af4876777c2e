//! The numbers of rows that a manifest expects, held against those that are there.

use std::fmt::Write;

use super::groups;
use super::row::Row;
use crate::DataError;
use crate::manifest::{Manifest, SplitName};

/// Nothing where all expected numbers are met, else both tables.
pub(crate) fn compare(manifest: &Manifest, splits: &[Vec<Row>; 3]) -> Option<String> {
    let names = groups::names(manifest);
    let mut lines = Vec::new();
    let mut differs = false;
    for (split, rows) in SplitName::ALL.into_iter().zip(splits) {
        let rule = manifest.layout.splits.rule(split);
        let mut line = |name: String, expected: Option<usize>, found: usize| {
            differs |= expected.is_some_and(|expected| expected != found);
            lines.push((name, expected, found));
        };
        line(split.to_string(), rule.rows, rows.len());
        let Some(expected) = &rule.groups else { continue };
        let mut found = vec![0; names.len()];
        for row in rows {
            for place in groups::places(manifest, row) {
                if let Some(count) = found.get_mut(place) {
                    *count += 1;
                }
            }
        }
        for ((name, expected), found) in names.iter().zip(expected).zip(found) {
            line(format!("  {name}"), Some(*expected), found);
        }
    }
    differs.then(|| {
        let mut text = format!("{:<32}{:>10}{:>10}", "rows", "expected", "found");
        for (name, expected, found) in lines {
            let shown = expected.map_or("-".to_string(), |expected| expected.to_string());
            let mark = if expected.is_some_and(|expected| expected != found) { "  <-" } else { "" };
            // Writing to a string does not fail.
            let _ = write!(text, "\n{name:<32}{shown:>10}{found:>10}{mark}");
        }
        text
    })
}

/// The error that says so.
pub(crate) fn mismatch(manifest: &Manifest, tables: String) -> DataError {
    DataError::Counts { file: manifest.file.clone(), tables }
}
