//! Columns whose cells have names.

use std::collections::BTreeMap;

use super::fault::{Fault, fault, unique_names};
use crate::manifest::model::{Labels, Rule};
use crate::manifest::raw;
use crate::table::Cell;

pub(super) fn labels(raw: raw::Labels, section: &str) -> Result<Labels, Fault> {
    unique_names(&raw.names, &format!("{section}.names"))?;
    let rule = match (raw.threshold, raw.values) {
        (None, values) => listed(values, &raw.names, &format!("{section}.values"))?,
        (Some(_), Some(_)) => {
            return Err(fault(format!("{section}.threshold"), "cells have names by `values` or by a `threshold`"));
        }
        (Some(_), None) if raw.names.len() != 2 => {
            let problem = format!("tells two names apart, and there are {}", raw.names.len());
            return Err(fault(format!("{section}.threshold"), problem));
        }
        (Some(threshold), None) => Rule::Threshold(share(threshold, &format!("{section}.threshold"))?),
    };
    Ok(Labels { column: raw.column, names: raw.names, rule })
}

/// The values of each name; the names themselves where none are listed.
fn listed(lists: Option<Vec<toml::Value>>, names: &[String], key: &str) -> Result<Rule, Fault> {
    let mut values = BTreeMap::new();
    let Some(lists) = lists else {
        for (index, name) in (0..).zip(names) {
            if values.insert(Cell::Text(name.clone()).value(), index).is_some() {
                let problem = format!("{name:?} and another name are the same value");
                return Err(fault(key.replace("values", "names"), problem));
            }
        }
        return Ok(Rule::Values { values, listed: false });
    };
    if lists.len() != names.len() {
        let problem = format!("{} entries for {} names: one for each is needed", lists.len(), names.len());
        return Err(fault(key, problem));
    }
    for (index, list) in (0..).zip(lists) {
        for cell in cells(list, key)? {
            let shown = cell.to_string();
            if values.insert(cell.value(), index).is_some() {
                return Err(fault(key, format!("{shown} stands twice: each value belongs to one name")));
            }
        }
    }
    Ok(Rule::Values { values, listed: true })
}

/// One cell, or a list of them.
pub(super) fn cells(value: toml::Value, key: &str) -> Result<Vec<Cell>, Fault> {
    let cell = |value| match value {
        toml::Value::Integer(value) => Ok(Cell::Integer(value)),
        toml::Value::Boolean(value) => Ok(Cell::Truth(value)),
        toml::Value::String(value) => Ok(Cell::Text(value)),
        other => Err(fault(key, format!("{other} has the wrong type: a whole number, text, true or false is needed"))),
    };
    match value {
        toml::Value::Array(list) if list.is_empty() => Err(fault(key, "an empty list matches no row")),
        toml::Value::Array(list) => list.into_iter().map(cell).collect(),
        single => Ok(vec![cell(single)?]),
    }
}

/// A share from which on a row has something.
pub(super) fn share(value: f64, key: &str) -> Result<f64, Fault> {
    if value > 0.0 && value <= 1.0 {
        return Ok(value);
    }
    Err(fault(key, format!("{value}: the column holds shares in [0, 1], so it must be above 0 and at most 1")))
}
