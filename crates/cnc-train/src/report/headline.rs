//! The head of the report: worst-group accuracy in large figures, and what it cost.

use maud::{Markup, html};

use super::charts::at;
use super::columns::{Column, columns};
use super::format::{NONE, count, duration, interval, percent};
use super::view::RunView;
use crate::record::Results;
use crate::training::{Selected, SplitResult};

/// The head of a report on one run, or on several.
pub(super) fn headline(runs: &[RunView]) -> Markup {
    match runs {
        [run] => one(run),
        _ => several(runs),
    }
}

fn one(run: &RunView) -> Markup {
    let results = &run.results;
    let columns = columns(std::slice::from_ref(run));
    html! {
        p.eyebrow { (results.dataset) " · " (results.method) " · " (results.model) " · seed " (results.seed) }
        h1 { "Worst-group accuracy on " (results.dataset) }
        p.lede { "The share of test samples that a model gets right in the group, class with attribute, where it does worst." }
        (cut_down(results.limit))
        @for failure in results.stages.iter().filter_map(|stage| stage.failure.as_ref()) {
            p.warning role="note" { strong { "Not the method’s figures: " } (failure) }
        }
        div.figures {
            @for (index, column) in columns.iter().enumerate() {
                @if index > 0 { p.arrow aria-hidden="true" { "→" } }
                (figure(column))
            }
        }
        (strip(&columns))
        dl.facts {
            (averages(&columns))
            div { dt { "Label budget" } dd { (results.label_budget) } }
            @if !results.weights.is_empty() { div { dt { "Starting weights" } dd { (results.weights.join("; ")) } } }
            @if !results.data.is_empty() { div { dt { "Data" } dd { (results.data.join("; ")) } } }
            div { dt { "Model chosen by" } dd { (results.selection_rule) } }
            (alternatives(results))
            div { dt { "Test samples" } dd { "n = " (count(results.test.count)) @if results.test.groups_overlap { "; groups overlap" } } }
            div { dt { "Run" } dd { "seed " (results.seed) ", " (results.device) ", " (results.threads) " threads, " (duration(results.duration_s)) } }
        }
    }
}

/// The large figure of one model.
fn figure(column: &Column<'_>) -> Markup {
    let test = column.test;
    html! {
        div.figure.(column.tone) {
            p.name { (column.label) }
            p.big { (percent(test.worst_group_accuracy)) }
            p.small {
                "95 % interval " (interval(test.worst_group_interval.as_ref()))
                br;
                "group " (test.worst_group.as_deref().unwrap_or(NONE)) ", n = " (worst_count(test))
            }
        }
    }
}

fn worst_count(test: &SplitResult) -> String {
    let worst = test.groups.iter().find(|group| Some(&group.name) == test.worst_group.as_ref());
    worst.map_or_else(|| NONE.to_owned(), |group| count(group.count))
}

/// The same figures on a line from 0 to 100 %, with their intervals.
fn strip(columns: &[Column<'_>]) -> Markup {
    let x = |share: f64| 8.0 + 984.0 * share.clamp(0.0, 1.0);
    html! {
        svg.strip viewBox="0 0 1000 58" preserveAspectRatio="none" aria-hidden="true" {
            line.axis x1="8" x2="992" y1="46" y2="46" {}
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line.axis x1=(at(x(tick))) x2=(at(x(tick))) y1="42" y2="50" {}
            }
            @for (index, column) in columns.iter().enumerate() {
                @let y = 10.0 + 22.0 * index as f64 / (columns.len().max(2) - 1) as f64;
                @if let (Some(value), Some(range)) = (column.test.worst_group_accuracy, &column.test.worst_group_interval) {
                    line class={ "whisker " (column.tone) } x1=(at(x(range.low))) x2=(at(x(range.high))) y1=(at(y)) y2=(at(y)) {}
                    line class={ "dot " (column.tone) } x1=(at(x(value))) x2=(at(x(value))) y1=(at(y)) y2=(at(y)) {}
                }
            }
        }
        p.scale aria-hidden="true" { span { "0 %" } span { "25" } span { "50" } span { "75" } span { "100 %" } }
    }
}

fn averages(columns: &[Column<'_>]) -> Markup {
    let list = |value: &dyn Fn(&SplitResult) -> Option<f64>| {
        let parts: Vec<String> = columns.iter().map(|column| percent(value(column.test))).collect();
        parts.join(" → ")
    };
    html! {
        div { dt { "Average accuracy, plain" } dd { (list(&|test| Some(test.average_accuracy))) } }
        @if columns.iter().any(|column| column.test.adjusted_average_accuracy.is_some()) {
            div { dt { "Average accuracy, adjusted" } dd { (list(&|test| test.adjusted_average_accuracy)) } }
        }
    }
}

/// What other rules would have chosen on validation. Their figures on test are left out: nobody is to choose by those.
fn alternatives(results: &Results) -> Markup {
    let others = results.stages.last().map(|stage| stage.alternatives.as_slice()).unwrap_or_default();
    let chosen = |best: &Selected| {
        let same = if best.step == results.selected.step { ", the same" } else { "" };
        format!(
            "{}: step {}{same} ({} on validation)",
            best.metric.replace('_', " "),
            best.step,
            percent(Some(best.value))
        )
    };
    html! {
        @if !others.is_empty() {
            div {
                dt { "Other rules" }
                dd { (others.iter().map(chosen).collect::<Vec<_>>().join("; ")) "; " code { "predict --select" } " takes theirs" }
            }
        }
    }
}

fn cut_down(limit: Option<usize>) -> Markup {
    html! {
        @if let Some(limit) = limit {
            p.warning role="note" { strong { "A cut-down run: " } "at most " (limit) " samples of each split were used." }
        }
    }
}

fn several(runs: &[RunView]) -> Markup {
    html! {
        p.eyebrow { (runs.len()) " runs" }
        h1 { "Worst-group accuracy, side by side" }
        div.scroll tabindex="0" role="group" aria-label="The runs" {
            table.runs {
                caption.hidden { "The runs: test accuracy of the reported model, and how it was chosen" }
                thead { tr {
                    th scope="col" { "Run" } th.num scope="col" { "Worst group" } th.num scope="col" { "Average, plain" }
                    th.num scope="col" { "Average, adjusted" } th.num scope="col" { "n" } th scope="col" { "Label budget" } th scope="col" { "Model chosen by" }
                } }
                tbody {
                    @for (run, column) in runs.iter().zip(columns(runs)) {
                        @let test = &run.results.test;
                        tr {
                            th scope="row" { (column.label) @if let Some(limit) = run.results.limit { " (at most " (limit) " samples of each split)" } }
                            td.num { strong { (percent(test.worst_group_accuracy)) } " " span.interval { (interval(test.worst_group_interval.as_ref())) } }
                            td.num { (percent(Some(test.average_accuracy))) " " span.interval { (interval(test.average_interval.as_ref())) } }
                            td.num { (percent(test.adjusted_average_accuracy)) }
                            td.num { (count(test.count)) }
                            td { (run.results.label_budget) }
                            td { (run.results.selection_rule) }
                        }
                    }
                }
            }
        }
    }
}
