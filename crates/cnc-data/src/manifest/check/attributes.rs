//! Attributes of which a row may have any number.

use super::fault::{Fault, fault, unique_names};
use super::labels::share;
use crate::manifest::model::{Several, Share};
use crate::manifest::raw;

/// A row's attributes are kept as the bits of one number.
const MOST: usize = 32;

pub(super) fn several(raw: raw::Attributes) -> Result<Several, Fault> {
    unique_names(&raw.columns, "attributes.columns")?;
    let count = raw.columns.len();
    if count > MOST {
        return Err(fault("attributes.columns", format!("{count} columns: at most {MOST} are possible")));
    }
    let names = raw.names.unwrap_or_else(|| raw.columns.clone());
    unique_names(&names, "attributes.names")?;
    let one_each = |found: usize, key: &str| match found == count {
        true => Ok(()),
        false => Err(fault(key, format!("{found} entries for {count} columns: one for each is needed"))),
    };
    one_each(names.len(), "attributes.names")?;
    let key = "attributes.threshold";
    let thresholds = match raw.threshold {
        toml::Value::Array(each) => each.iter().map(|value| number(value, key)).collect::<Result<Vec<f64>, _>>()?,
        one => vec![number(&one, key)?; count],
    };
    one_each(thresholds.len(), key)?;
    let columns = raw.columns.into_iter().zip(names).zip(thresholds);
    let columns = columns.map(|((column, name), threshold)| Share { column, name, threshold }).collect();
    let summary = [raw.none.unwrap_or_else(|| "none".to_string()), raw.any.unwrap_or_else(|| "any".to_string())];
    unique_names(&summary, "attributes.any")?;
    Ok(Several { columns, summary })
}

fn number(value: &toml::Value, key: &str) -> Result<f64, Fault> {
    let found = value.as_float().or_else(|| value.as_integer().map(|value| value as f64));
    let found = found.ok_or_else(|| fault(key, format!("{value} is not a number, nor a list of them")))?;
    share(found, key)
}
