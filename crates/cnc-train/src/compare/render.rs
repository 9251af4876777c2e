//! A comparison as text, Markdown and HTML, the same cells in each, and as CSV.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use cnc_base::files::write_atomically;
use cnc_core::evaluation::Difference;
use maud::{Markup, html};
use serde::Serialize;

use super::comparison::{Comparison, MethodRow, Pair, Spread};
use super::paper::AverageKind;
use crate::methods::NO_LABELS;
use crate::report::document;
use crate::report::format::{NO_FIGURE, plain_percent};
use crate::report::table::{NO_RULE, aligned};

/// A table with what stands above it.
struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

/// Every table of a comparison: figures by label budget, what they cost, and the differences.
fn tables(comparison: &Comparison) -> Vec<Table> {
    let mut budgets: Vec<&str> = Vec::new();
    for method in &comparison.methods {
        if !budgets.contains(&method.label_budget.as_str()) {
            budgets.push(&method.label_budget);
        }
    }
    // What needs least comes first: it is what can be had where nobody has labelled groups.
    budgets.sort_by_key(|budget| !budget.starts_with(NO_LABELS));
    let of_budget = |budget: &str| {
        let methods = comparison.methods.iter().filter(|method| method.label_budget == budget);
        let rows = std::iter::once(header(comparison)).chain(methods.map(|method| cells(comparison, method)));
        Table { title: budget.to_owned(), rows: rows.collect() }
    };
    let mut tables: Vec<Table> = budgets.into_iter().map(of_budget).collect();
    let costs = comparison.methods.iter().map(|method| costs(comparison, method));
    let rows = std::iter::once(cost_header(comparison)).chain(costs).collect();
    tables.push(Table { title: "what they cost".to_owned(), rows });
    let pairs = pair_rows(comparison);
    if !pairs.is_empty() {
        let rows = std::iter::once(pair_header()).chain(pairs).collect();
        tables.push(Table { title: "is the difference real?".to_owned(), rows });
    }
    tables
}

/// The names of the columns of figures.
fn header(comparison: &Comparison) -> Vec<String> {
    let mut header = vec!["method", "worst group", "average", "adjusted", "gap"];
    if comparison.paper.is_some() {
        header.extend(["paper worst", "paper avg.", "- paper"]);
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
    cells
}

/// The names of the columns of costs.
fn cost_header(comparison: &Comparison) -> Vec<String> {
    let mut header = vec!["method", "steps", "samples seen", "chosen at epoch", "time, s", "memory, MiB"];
    if comparison.methods.iter().any(|method| !method.set.is_empty()) {
        header.push("settings");
    }
    header.into_iter().map(str::to_owned).collect()
}

fn costs(comparison: &Comparison, method: &MethodRow) -> Vec<String> {
    let whole = |spread: Option<Spread>| spread.map_or(NO_FIGURE.to_owned(), |spread| format!("{:.0}", spread.mean));
    let mut cells = vec![
        method.title.clone(),
        whole(method.steps),
        whole(method.samples),
        epochs(method),
        whole(method.duration_s),
    ];
    cells.push(method.peak_memory_bytes.map_or(NO_FIGURE.to_owned(), |bytes| (bytes >> 20).to_string()));
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
    ["difference", "worst group", "95 % interval", "Holm's p", "average", "95 % interval", "Holm's p"]
        .map(str::to_owned)
        .into()
}

/// One line a pair, over all seeds.
fn pair_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let title = |name: &str| {
        let found = comparison.methods.iter().find(|method| method.method == name);
        found.map_or(name.to_owned(), |method| method.title.clone())
    };
    let figures = |difference: Option<&Difference>, p: Option<f64>| match difference {
        None => [NO_FIGURE, NO_FIGURE, NO_FIGURE].map(str::to_owned),
        Some(d) => [
            format!("{:+.1}", 100.0 * d.observed),
            format!("{:+.1} to {:+.1}", 100.0 * d.low, 100.0 * d.high),
            p.map_or(NO_FIGURE.to_owned(), |p| format!("{p:.3}")),
        ],
    };
    let row = |pair: &Pair| {
        let differences = pair.over_seeds.as_ref();
        let mut row = vec![format!("{} - {}", title(&pair.first), title(&pair.second))];
        row.extend(figures(differences.and_then(|both| both.worst_group.as_ref()), pair.worst_group_p));
        row.extend(figures(differences.map(|both| &both.average), pair.average_p));
        row
    };
    comparison.pairs.iter().map(row).collect()
}

/// What the figures are, one sentence a line.
fn remarks(comparison: &Comparison) -> Vec<String> {
    let seeds: Vec<String> = comparison.seeds.iter().map(ToString::to_string).collect();
    let mut remarks = vec![
        format!("Test accuracy on {} with {}, in %; seeds {}.", comparison.dataset, comparison.model, seeds.join(", ")),
        format!("Mean ± {}; a single seed has none.", comparison.deviation),
        format!("Chosen on validation: {}.", comparison.selection_rule),
        "The average is the plain one, adjusted: by the groups' shares in training; the gap is the plain one less the worst \
         group."
            .to_owned(),
        "Steps and samples are of all stages; the epochs are of the chosen checkpoints, one a seed. Time is the mean of the \
         runs, memory the most that any of them held."
            .to_owned(),
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
            "Differences: mean over the seeds of a paired bootstrap over the test samples of each, percentile intervals; p is \
             two-sided and Holm-corrected for all pairs. (compare.json has each seed's own, uncorrected.)"
                .to_owned(),
        );
    }
    if !comparison.weights.is_empty() {
        remarks.push(format!("Starting weights: {}.", comparison.weights.join("; ")));
    }
    for failure in comparison.methods.iter().flat_map(|method| &method.failures) {
        remarks.push(format!("Warning: not the method's figures: {failure}."));
    }
    if let Some(limit) = comparison.limit {
        remarks.push(format!("Cut down: the first {limit} samples of each split only."));
    }
    remarks
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
    let mut out = String::new();
    for Table { title, rows } in tables(comparison) {
        let _ = write!(out, "{title}\n\n{}\n", aligned(&rows, NO_RULE));
    }
    let _ = writeln!(out, "{}", remarks(comparison).join("\n"));
    out
}

/// As Markdown.
fn markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    for Table { title, rows } in tables(comparison) {
        let _ = writeln!(out, "### {title}\n");
        for (index, row) in rows.iter().enumerate() {
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
    steps: Option<f64>,
    samples: Option<f64>,
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
            steps: mean(method.steps),
            samples: mean(method.samples),
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
            @for Table { title, rows } in tables(comparison) {
                h2 { (title) }
                (table(rows))
            }
            ul { @for remark in remarks(comparison) { li { (remark) } } }
        }
    };
    document(&title, STYLE, &body)
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\
    .scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
    th,td{padding:.35rem .8rem;text-align:right;border-bottom:1px solid #8886;white-space:nowrap}\
    th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}";
