//! Tables of figures as plain text: group, count, and an accuracy a model.

use std::fmt::Write;

use super::format::{plain_interval, plain_percent};
use crate::record::Results;
use crate::training::SplitResult;

/// The figures that a run ends with: the test split, one column a stage, as plain text.
#[must_use]
pub(crate) fn text(results: &Results) -> String {
    let columns: Vec<Column<'_>> = results.stages.iter().map(|stage| Column::new(&stage.title, &stage.test)).collect();
    let mut rows = rows(&columns);
    let random: Vec<Option<&SplitResult>> =
        results.stages.iter().map(|stage| stage.test_random_crop.as_ref()).collect();
    if random.iter().any(Option::is_some) {
        let cells = |value: fn(&SplitResult) -> Option<f64>| {
            random.iter().map(move |split| plain_percent(split.and_then(value)))
        };
        rows.push(line("random crop: worst group", "", cells(|split| split.worst_group_accuracy)));
        rows.push(line("random crop: average (plain)", "", cells(|split| Some(split.average_accuracy))));
    }
    let mut out = aligned(&rows, results.test.groups.len() + 1);
    let _ = writeln!(out, "\n{} of {}, n = {}; {UNITS}", results.test.split, results.dataset, results.test.count);
    let _ = writeln!(out, "labels used: {}", results.label_budget);
    for note in &results.weights {
        let _ = writeln!(out, "weights: {note}");
    }
    for note in &results.data {
        let _ = writeln!(out, "data: {note}");
    }
    let _ = writeln!(out, "selected: {}", results.selection_rule);
    let _ =
        writeln!(out, "seed {}, {} on {}, {:.1} s", results.seed, results.model, results.device, results.duration_s);
    for failure in results.stages.iter().filter_map(|stage| stage.failure.as_ref()) {
        let _ = writeln!(out, "warning: not the method's figures: {failure}");
    }
    if let Some(limit) = results.limit {
        let _ = writeln!(out, "cut down: the first {limit} samples of each split only");
    }
    out + &remarks(&results.test)
}

/// The figures of one model on one split.
#[must_use]
pub(crate) fn of_split(split: &SplitResult) -> String {
    let mut out = aligned(&rows(&[Column::new("accuracy", split)]), split.groups.len() + 1);
    let _ = writeln!(out, "\n{}, n = {}; {UNITS}", split.split, split.count);
    out + &remarks(split)
}

const UNITS: &str = "accuracies in %, intervals: Wilson 95 %";

/// A column of figures.
struct Column<'a> {
    title: &'a str,
    split: &'a SplitResult,
}

impl<'a> Column<'a> {
    fn new(title: &'a str, split: &'a SplitResult) -> Self {
        Self { title, split }
    }
}

/// Header, one row a group, and the totals; all columns are of the same split.
fn rows(columns: &[Column<'_>]) -> Vec<Vec<String>> {
    let cells = |value: &dyn Fn(&SplitResult) -> String| columns.iter().map(|c| value(c.split)).collect::<Vec<_>>();
    let mut rows = vec![line("group", "n", columns.iter().map(|column| column.title.to_owned()))];
    let Some(first) = columns.first().map(|column| column.split) else { return rows };
    for (index, group) in first.groups.iter().enumerate() {
        let accuracy = |split: &SplitResult| plain_percent(split.groups.get(index).and_then(|group| group.accuracy));
        rows.push(line(&group.name, &group.count.to_string(), cells(&accuracy)));
    }
    let count = first.count.to_string();
    rows.push(line("worst group", "", cells(&|s| plain_percent(s.worst_group_accuracy))));
    rows.push(line("  95 % interval", "", cells(&|s| plain_interval(s.worst_group_interval))));
    rows.push(line("average (plain)", &count, cells(&|s| plain_percent(Some(s.average_accuracy)))));
    rows.push(line("  95 % interval", "", cells(&|s| plain_interval(s.average_interval))));
    rows.push(line("average (adjusted)", &count, cells(&|s| plain_percent(s.adjusted_average_accuracy))));
    rows.push(line("worst class", "", cells(&|s| plain_percent(s.worst_class_accuracy))));
    rows.push(line("worst class precision", "", cells(&|s| plain_percent(s.worst_class_precision))));
    rows.push(line("worst class F1", "", cells(&|s| plain_percent(s.worst_class_f1))));
    if columns.iter().any(|column| column.split.auroc.is_some()) {
        rows.push(line("AUROC", "", cells(&|s| plain_percent(s.auroc))));
    }
    rows.push(line("calibration error", "", cells(&|s| plain_percent(s.calibration_error))));
    if columns.iter().any(|column| column.split.flip_rate.is_some()) {
        rows.push(line("changed by attribute", "", cells(&|s| plain_percent(s.flip_rate))));
    }
    rows
}

fn line(name: &str, count: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_owned(), count.to_owned()].into_iter().chain(cells).collect()
}

/// What a reader of the figures has to know of the split.
fn remarks(split: &SplitResult) -> String {
    let mut out = String::new();
    if split.groups_overlap {
        let _ = writeln!(out, "groups overlap: a sample counts in each of its groups");
    }
    for group in split.groups.iter().filter(|group| group.count == 0) {
        let _ = writeln!(out, "warning: group `{}` has no sample here; it is left out of the worst group", group.name);
    }
    out
}

/// For tables without a line before their last rows.
pub(crate) const NO_RULE: usize = usize::MAX;

/// Columns as wide as their widest cell, the first one flush left, with a line below the header and above row `rule`.
pub(crate) fn aligned(rows: &[Vec<String>], rule: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        if index == 1 || index == rule {
            let _ = writeln!(out, "{line}");
        }
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(out, "{cell:<width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    out
}
