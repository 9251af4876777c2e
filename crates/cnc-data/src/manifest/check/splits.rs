//! Which rows are in which split.

use std::collections::BTreeMap;

use super::fault::{Fault, fault, inside};
use super::labels::cells;
use crate::manifest::model::{Origin, Source, SplitName, SplitRule, Splits};
use crate::manifest::raw;
use crate::table::Cell;

pub(super) fn splits(raw: raw::Splits, source: &Source) -> Result<Splits, Fault> {
    if raw.column.is_some() != raw.files.is_some() {
        return Err(fault(
            "splits",
            "`column` and `files` go together: the files, and their column that names the split",
        ));
    }
    let by_column = raw.column.is_some();
    let rules = [
        rule(raw.train, SplitName::Train, by_column)?,
        rule(raw.validation, SplitName::Validation, by_column)?,
        rule(raw.test, SplitName::Test, by_column)?,
    ];
    let stratify = raw.stratify.unwrap_or(true);
    if !stratify && raw.keep_together.is_some() {
        return Err(fault(
            "splits.stratify",
            "rows that stay together (`keep_together`) are drawn within each class: leave it out",
        ));
    }
    let files = raw.files.unwrap_or_default();
    let splits = Splits { column: raw.column, files, keep_together: raw.keep_together, stratify, rules };
    let mut seen_files: Vec<&String> = Vec::new();
    let mut seen_values: Vec<&Cell> = Vec::new();
    let mut fractions = BTreeMap::new();
    for split in SplitName::ALL {
        let key = format!("splits.{split}");
        match &splits.rule(split).from {
            Origin::Files(files) => seen_files.extend(files),
            Origin::Values(values) => seen_values.extend(values),
            Origin::Fraction { of, fraction } => {
                if matches!(splits.rule(*of).from, Origin::Fraction { .. }) {
                    return Err(fault(key, format!("is a fraction of `{of}`, which is a fraction itself")));
                }
                let taken = fractions.entry(*of).or_insert(0.0);
                *taken += fraction;
                if *taken >= 1.0 {
                    return Err(fault(key, format!("the fractions of `{of}` leave nothing of it")));
                }
            }
        }
    }
    seen_files.extend(&splits.files);
    for (i, file) in seen_files.iter().enumerate() {
        if seen_files.iter().take(i).any(|earlier| earlier == file) {
            return Err(fault("splits", format!("the file {file} stands twice: its rows would be in two places")));
        }
        if let Source::Hub { .. } = source {
            inside("splits", file)?;
        }
    }
    for (i, value) in seen_values.iter().enumerate() {
        if seen_values.iter().take(i).any(|earlier| earlier == value) {
            return Err(fault("splits", format!("the value {value} stands twice: its rows would be in two places")));
        }
    }
    Ok(splits)
}

fn rule(raw: raw::Split, split: SplitName, by_column: bool) -> Result<SplitRule, Fault> {
    let key = format!("splits.{split}");
    let from = match (raw.files, raw.values, raw.of, raw.fraction) {
        (Some(files), None, None, None) if files.is_empty() => {
            return Err(fault(key, "has an empty list of files: a split without rows"));
        }
        (Some(files), None, None, None) => Origin::Files(files),
        (None, Some(_), None, None) if !by_column => {
            return Err(fault(key, "has `values`, but [splits] names no `column` that holds them"));
        }
        (None, Some(values), None, None) => {
            Origin::Values(cells(toml::Value::Array(values), &format!("{key}.values"))?)
        }
        (None, None, Some(of), Some(fraction)) => {
            if !(fraction > 0.0 && fraction < 1.0) {
                return Err(fault(format!("{key}.fraction"), format!("{fraction} is not between 0 and 1")));
            }
            if of == split {
                return Err(fault(format!("{key}.of"), "a split cannot be a fraction of itself"));
            }
            Origin::Fraction { of, fraction }
        }
        _ => {
            let problem = "needs exactly one of: `files`; `values` of the splits' column; `of` with `fraction`";
            return Err(fault(key, problem));
        }
    };
    Ok(SplitRule { from, rows: raw.rows, groups: raw.groups })
}
