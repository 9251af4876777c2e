//! A comparison as text, Markdown and HTML, the same cells in each, and as CSV.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use cnc_base::files::write_atomically;
use cnc_core::evaluation::Difference;
use maud::{Markup, html};
use serde::Serialize;

use super::comparison::{Comparison, MethodRow, Spread};
use super::paper::AverageKind;
use crate::report::document;
use crate::report::format::{NO_FIGURE, plain_percent};
use crate::report::table::{NO_RULE, aligned};

/// The names of the columns.
fn header(comparison: &Comparison) -> Vec<String> {
    let mut header = vec!["method", "worst group", "average (plain)", "average (adjusted)", "gap"];
    if comparison.paper.is_some() {
        header.extend(["paper: worst", "paper: average", "worst - paper"]);
    }
    header.extend(["epochs", "time, s", "memory, MiB", "group labels used"]);
    if comparison.methods.iter().any(|method| !method.set.is_empty()) {
        header.push("settings");
    }
    header.into_iter().map(str::to_owned).collect()
}

fn cells(comparison: &Comparison, method: &MethodRow) -> Vec<String> {
    let mut cells = vec![
        method.title.clone(),
        mean_and_deviation(method.worst_group),
        mean_and_deviation(method.average),
        mean_and_deviation(method.adjusted_average),
        mean_and_deviation(method.gap),
    ];
    if comparison.paper.is_some() {
        let figure = |value: Option<f64>| value.map_or(NO_FIGURE.to_owned(), |value| format!("{value:.1}"));
        cells.push(figure(method.paper.map(|paper| paper.worst_group)));
        cells.push(figure(method.paper.map(|paper| paper.average)));
        let ours = method.worst_group.map(|worst| 100.0 * worst.mean);
        let above = ours.zip(method.paper).map(|(ours, paper)| ours - paper.worst_group);
        cells.push(above.map_or(NO_FIGURE.to_owned(), |above| format!("{above:+.1}")));
    }
    cells.push(epochs(method));
    cells.push(method.duration_s.map_or(NO_FIGURE.to_owned(), |time| format!("{:.0}", time.mean)));
    cells.push(method.peak_memory_bytes.map_or(NO_FIGURE.to_owned(), |bytes| (bytes >> 20).to_string()));
    cells.push(method.label_budget.clone());
    if comparison.methods.iter().any(|method| !method.set.is_empty()) {
        cells.push(method.set.join(" "));
    }
    cells
}

/// The epoch of the chosen checkpoint of each run.
fn epochs(method: &MethodRow) -> String {
    let epochs: Vec<String> = method.runs.iter().map(|run| format!("{:.1}", run.epoch)).collect();
    epochs.join(" ")
}

/// Mean and deviation in %.
fn mean_and_deviation(spread: Option<Spread>) -> String {
    let mean = plain_percent(spread.map(|spread| spread.mean));
    match spread.and_then(|spread| spread.deviation) {
        None => mean,
        Some(deviation) => format!("{mean} ± {}", plain_percent(Some(deviation))),
    }
}

fn pair_header() -> Vec<String> {
    ["difference", "seed", "worst group", "95 % interval", "p", "average (plain)", "95 % interval", "p"]
        .map(str::to_owned)
        .into()
}

/// One line a pair and seed.
fn pair_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let title = |name: &str| {
        let found = comparison.methods.iter().find(|method| method.method == name);
        found.map_or(name.to_owned(), |method| method.title.clone())
    };
    let figures = |difference: Option<&Difference>| match difference {
        None => [NO_FIGURE, NO_FIGURE, NO_FIGURE].map(str::to_owned),
        Some(d) => [
            format!("{:+.1}", 100.0 * d.observed),
            format!("{:+.1} to {:+.1}", 100.0 * d.low, 100.0 * d.high),
            format!("{:.3}", d.p),
        ],
    };
    let mut rows = Vec::new();
    for pair in &comparison.pairs {
        for (seed, differences) in comparison.seeds.iter().zip(&pair.seeds) {
            let mut row = vec![format!("{} - {}", title(&pair.first), title(&pair.second)), seed.to_string()];
            row.extend(figures(differences.worst_group.as_ref()));
            row.extend(figures(Some(&differences.average)));
            rows.push(row);
        }
    }
    rows
}

/// What the figures are, one sentence a line.
fn remarks(comparison: &Comparison) -> Vec<String> {
    let seeds: Vec<String> = comparison.seeds.iter().map(ToString::to_string).collect();
    let mut remarks = vec![
        format!("Test accuracy on {} with {}, in %; seeds {}.", comparison.dataset, comparison.model, seeds.join(", ")),
        format!("Mean ± {}; a single seed has none.", comparison.deviation),
        format!("Chosen on validation: {}.", comparison.selection_rule),
        "The gap is the plain average less the worst group; epochs are those of the chosen checkpoints, one a seed."
            .to_owned(),
        "Time is the mean of the runs, memory the most that any of them held.".to_owned(),
    ];
    if let Some((source, average)) = &comparison.paper {
        let kind = match average {
            AverageKind::Plain => "plain",
            AverageKind::Adjusted => "adjusted",
        };
        remarks.push(format!("Paper: {source}; its average is the {kind} one."));
    }
    if !comparison.pairs.is_empty() {
        remarks.push(
            "Differences: paired bootstrap over the test samples of each seed, percentile intervals; p is two-sided."
                .to_owned(),
        );
    }
    if !comparison.weights.is_empty() {
        remarks.push(format!("Starting weights: {}.", comparison.weights.join("; ")));
    }
    if let Some(limit) = comparison.limit {
        remarks.push(format!("Cut down: the first {limit} samples of each split only."));
    }
    remarks
}

fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let methods = comparison.methods.iter().map(|method| cells(comparison, method));
    std::iter::once(header(comparison)).chain(methods).collect()
}

fn pairs(comparison: &Comparison) -> Vec<Vec<String>> {
    let rows = pair_rows(comparison);
    if rows.is_empty() { rows } else { std::iter::once(pair_header()).chain(rows).collect() }
}

/// Write the comparison into its folder, in each form.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(comparison: &Comparison, folder: &Path) -> Result<()> {
    let files = [
        ("compare.csv", csv(comparison)?),
        ("compare.md", markdown(comparison)),
        ("compare.html", html(comparison)),
        ("compare.json", serde_json::to_string_pretty(comparison)? + "\n"),
    ];
    files.iter().try_for_each(|(name, text)| Ok(write_atomically(&folder.join(name), text.as_bytes())?))
}

/// As plain text.
#[must_use]
pub(crate) fn text(comparison: &Comparison) -> String {
    let mut out = aligned(&rows(comparison), NO_RULE);
    for table in [pairs(comparison)].iter().filter(|table| !table.is_empty()) {
        let _ = write!(out, "\n{}", aligned(table, NO_RULE));
    }
    let _ = write!(out, "\n{}\n", remarks(comparison).join("\n"));
    out
}

/// As Markdown.
fn markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    for table in [rows(comparison), pairs(comparison)].iter().filter(|table| !table.is_empty()) {
        for (index, row) in table.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
            if index == 0 {
                let _ = writeln!(out, "|{}", "---|".repeat(row.len()));
            }
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", remarks(comparison).join("  \n"));
    out
}

/// A line of the CSV file: figures for programs, accuracies as fractions, those of papers in %.
#[derive(Serialize)]
struct CsvRow<'a> {
    method: &'a str,
    settings: String,
    seeds: usize,
    worst_group_mean: Option<f64>,
    worst_group_deviation: Option<f64>,
    average_mean: Option<f64>,
    average_deviation: Option<f64>,
    adjusted_average_mean: Option<f64>,
    adjusted_average_deviation: Option<f64>,
    gap_mean: Option<f64>,
    gap_deviation: Option<f64>,
    paper_worst_group: Option<f64>,
    paper_average: Option<f64>,
    epochs: String,
    duration_s: Option<f64>,
    peak_memory_bytes: Option<u64>,
    label_budget: &'a str,
}

/// As CSV: the table of methods.
///
/// # Errors
/// When there is no memory for it.
fn csv(comparison: &Comparison) -> Result<String> {
    let mean = |spread: Option<Spread>| spread.map(|spread| spread.mean);
    let deviation = |spread: Option<Spread>| spread.and_then(|spread| spread.deviation);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for method in &comparison.methods {
        writer.serialize(CsvRow {
            method: &method.method,
            settings: method.set.join(" "),
            seeds: method.runs.len(),
            worst_group_mean: mean(method.worst_group),
            worst_group_deviation: deviation(method.worst_group),
            average_mean: mean(method.average),
            average_deviation: deviation(method.average),
            adjusted_average_mean: mean(method.adjusted_average),
            adjusted_average_deviation: deviation(method.adjusted_average),
            gap_mean: mean(method.gap),
            gap_deviation: deviation(method.gap),
            paper_worst_group: method.paper.map(|paper| paper.worst_group),
            paper_average: method.paper.map(|paper| paper.average),
            epochs: epochs(method),
            duration_s: mean(method.duration_s),
            peak_memory_bytes: method.peak_memory_bytes,
            label_budget: &method.label_budget,
        })?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error()).context("cannot write CSV")?;
    Ok(String::from_utf8(bytes)?)
}

/// As one page of HTML.
fn html(comparison: &Comparison) -> String {
    let table = |rows: Vec<Vec<String>>| -> Markup {
        html! {
            @if let Some((header, rows)) = rows.split_first() {
                div.scroll { table {
                    thead { tr { @for cell in header { th scope="col" { (cell) } } } }
                    tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
                } }
            }
        }
    };
    let title = format!("Methods on {}", comparison.dataset);
    let body = html! {
        main {
            h1 { (title) }
            (table(rows(comparison)))
            ul { @for remark in remarks(comparison) { li { (remark) } } }
            @if !comparison.pairs.is_empty() {
                h2 { "Is the difference real?" }
                (table(pairs(comparison)))
            }
        }
    };
    document(&title, STYLE, &body)
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\
    .scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
    th,td{padding:.35rem .8rem;text-align:right;border-bottom:1px solid #8886;white-space:nowrap}\
    th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}";
