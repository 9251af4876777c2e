//! An inspection as files.

use std::path::Path;

use anyhow::{Context, Result};
use cnc_base::files::write_atomically;

use super::Inspection;
use super::findings::Described;

/// Write `inspect.json` with all of it, and `errors.csv`, `labels.csv` and `associations.csv` with its lists.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(inspection: &Inspection, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let put = |name: &str, bytes: &[u8]| -> Result<()> { Ok(write_atomically(&folder.join(name), bytes)?) };
    put("inspect.json", (serde_json::to_string_pretty(inspection)? + "\n").as_bytes())?;
    put(
        "errors.csv",
        &table(&["row", "sample", "class", "group", "predicted", "confidence"], inspection.errors.iter())?,
    )?;
    let columns = ["row", "sample", "label", "likely", "margin", "is_confident"];
    put("labels.csv", &table(&columns, inspection.labels.iter())?)?;
    let columns = [
        "property",
        "origin",
        "effect",
        "p_found",
        "p_tested",
        "is_confirmed",
        "class",
        "value",
        "n_with",
        "wrong_with",
        "n_without",
        "wrong_without",
        "difference",
        "low",
        "high",
    ];
    put("associations.csv", &table(&columns, inspection.findings.iter().flat_map(lines))?)
}

/// A header and rows, each field of a row a column.
fn table<R: serde::Serialize>(columns: &[&str], rows: impl Iterator<Item = R>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

/// A line for each contrast of a property; one without where it has none.
fn lines(finding: &Described) -> Vec<Vec<String>> {
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let start = [
        finding.property.clone(),
        finding.origin.to_owned(),
        finding.association.effect.to_string(),
        finding.found.to_string(),
        number(finding.tested),
        finding.is_confirmed.to_string(),
    ];
    if finding.contrasts.is_empty() {
        return vec![start.into_iter().chain(std::iter::repeat_n(String::new(), 9)).collect()];
    }
    let line = |sides: &super::findings::Sides| {
        let counts = [sides.with, sides.wrong_with, sides.without, sides.wrong_without].map(|count| count.to_string());
        let interval = sides.interval.map(|interval| [Some(interval.low), Some(interval.high)]).unwrap_or_default();
        let ends = [sides.difference, interval[0], interval[1]].map(number);
        let names = [sides.class.clone(), sides.value.clone()];
        start.iter().cloned().chain(names).chain(counts).chain(ends).collect()
    };
    finding.contrasts.iter().map(line).collect()
}
