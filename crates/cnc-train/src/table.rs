//! The table that a run ends with: group, count, and the accuracy of each stage.

use std::fmt::Write;

use crate::results::{Results, SplitResult, StageResult};

/// The test figures of all stages, one column a stage, as plain text.
#[must_use]
pub fn text(results: &Results) -> String {
    let stages = &results.stages;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut header = vec!["group".to_owned(), "n".to_owned()];
    header.extend(stages.iter().map(|stage| stage.title.clone()));
    rows.push(header);
    for (index, group) in results.test.groups.iter().enumerate() {
        let mut row = vec![group.name.clone(), group.count.to_string()];
        row.extend(stages.iter().map(|stage| percent(stage.test.groups.get(index).and_then(|g| g.accuracy))));
        rows.push(row);
    }
    let rule = rows.len();
    let total = results.test.count;
    let mut figure = |name: &str, count: String, value: &dyn Fn(&StageResult) -> Option<String>| {
        let values: Vec<Option<String>> = stages.iter().map(value).collect();
        if values.iter().any(Option::is_some) {
            let shown = values.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned()));
            rows.push([name.to_owned(), count].into_iter().chain(shown).collect());
        }
    };
    figure("worst group", String::new(), &|s| s.test.worst_group_accuracy.map(|a| percent(Some(a))));
    figure("  95 % interval", String::new(), &|s| {
        s.test.worst_group_interval.map(|i| format!("{:.1}-{:.1}", 100.0 * i.low, 100.0 * i.high))
    });
    figure("average (plain)", total.to_string(), &|s| Some(percent(Some(s.test.average_accuracy))));
    figure("  95 % interval", String::new(), &|s| {
        s.test.average_interval.map(|i| format!("{:.1}-{:.1}", 100.0 * i.low, 100.0 * i.high))
    });
    figure("average (adjusted)", total.to_string(), &|s| s.test.adjusted_average_accuracy.map(|a| percent(Some(a))));
    figure("worst class", String::new(), &|s| s.test.worst_class_accuracy.map(|a| percent(Some(a))));
    figure("changed by attribute", String::new(), &|s| s.test.flip_rate.map(|a| percent(Some(a))));
    figure("random crop: worst group", String::new(), &|s| random_crop(s, |r| r.worst_group_accuracy));
    figure("random crop: average (plain)", total.to_string(), &|s| random_crop(s, |r| Some(r.average_accuracy)));
    let mut out = aligned(&rows, rule);
    let _ = writeln!(out, "\ntest split of {}, n = {total}; accuracies in %, intervals: Wilson 95 %", results.dataset);
    let _ = writeln!(out, "labels used: {}", results.label_budget);
    let _ = writeln!(out, "selected: {}", results.selection_rule);
    let _ =
        writeln!(out, "seed {}, {} on {}, {:.1} s", results.seed, results.model, results.device, results.duration_s);
    if let Some(limit) = results.limit {
        let _ = writeln!(out, "cut down: the first {limit} samples of each split only");
    }
    if results.test.groups_overlap {
        let _ = writeln!(out, "groups overlap: a sample counts in each of its groups");
    }
    for group in results.test.groups.iter().filter(|group| group.count == 0) {
        let _ = writeln!(out, "warning: group `{}` has no test sample; it is left out of the worst group", group.name);
    }
    out
}

fn random_crop(stage: &StageResult, value: impl Fn(&SplitResult) -> Option<f64>) -> Option<String> {
    stage.test_random_crop.as_ref().and_then(value).map(|accuracy| percent(Some(accuracy)))
}

fn percent(accuracy: Option<f64>) -> String {
    accuracy.map_or("-".to_owned(), |accuracy| format!("{:.1}", 100.0 * accuracy))
}

/// Columns as wide as their widest cell, the first one flush left, with a line below the header and above row `rule`.
fn aligned(rows: &[Vec<String>], rule: usize) -> String {
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
