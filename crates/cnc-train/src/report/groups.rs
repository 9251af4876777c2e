//! Accuracy by group: a table with bars and intervals, and a map of class by attribute.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::charts::at;
use super::columns::{Column, columns};
use super::format::{NONE, count, interval, percent, whole_percent};
use super::view::RunView;
use crate::training::{GroupResult, SplitResult};

/// One row of the comparison that is not a group.
struct Summary {
    name: &'static str,
    value: fn(&SplitResult) -> Option<f64>,
}

/// Width of a column of the map that still holds a name, in CSS pixels; narrower screens scroll.
const NARROWEST: usize = 58;

const SUMMARIES: [Summary; 10] = [
    Summary { name: "Worst group", value: |test| test.worst_group_accuracy },
    Summary { name: "Average, plain", value: |test| Some(test.average_accuracy) },
    Summary {
        name: "Average, adjusted to the groups’ shares in training",
        value: |test| test.adjusted_average_accuracy,
    },
    Summary { name: "Mean of the groups", value: |test| test.mean_group_accuracy },
    Summary { name: "Worst class", value: |test| test.worst_class_accuracy },
    Summary { name: "Precision of the worst class", value: |test| test.worst_class_precision },
    Summary { name: "F1 of the worst class", value: |test| test.worst_class_f1 },
    Summary { name: "Area under the ROC curve", value: |test| test.auroc },
    Summary { name: "Expected calibration error", value: |test| test.calibration_error },
    Summary { name: "Prediction changes with the attribute alone (share of samples)", value: |test| test.flip_rate },
];

/// The section; datasets are kept apart, since their groups are not the same.
pub(super) fn groups(runs: &[RunView]) -> Markup {
    let all = columns(runs);
    let datasets: BTreeSet<&str> = all.iter().map(|column| column.dataset).collect();
    html! {
        p.lede {
            "Test accuracy in every group, with its Wilson 95 % interval. The worst group of each column is marked; groups without samples take no part."
        }
        @for dataset in &datasets {
            @let columns: Vec<Column<'_>> = all.iter().filter(|column| column.dataset == *dataset).cloned().collect();
            @if datasets.len() > 1 { h3 { (dataset) } }
            (maps(&columns))
            (table(dataset, &columns))
            @if columns.iter().any(|column| column.test.groups_overlap) {
                p.note { "A sample can be in several of these groups: their counts add up to more than n." }
            }
        }
        (random_crop(runs))
    }
}

fn table(dataset: &str, columns: &[Column<'_>]) -> Markup {
    let rows = columns.first().map_or(&[][..], |column| &column.test.groups);
    let attributes = rows.iter().any(|group| !group.attribute.is_empty());
    let names = if attributes { 3 } else { 2 };
    html! {
        div.scroll tabindex="0" role="group" aria-label={ "Accuracy by group, " (dataset) } {
            table.groups {
                caption { "Accuracy by group on the test split of " (dataset) }
                thead { tr {
                    th scope="col" { "Class" } @if attributes { th scope="col" { "Attribute" } } th.num scope="col" { "n" }
                    @for column in columns { th.(column.tone) scope="col" { (column.label) } }
                } }
                @for class in rows.chunk_by(|a, b| a.class == b.class) {
                    tbody {
                        @for (index, group) in class.iter().enumerate() {
                            tr {
                                @if index == 0 { th scope="rowgroup" rowspan=(class.len()) { (group.class) } }
                                @if attributes { th scope="row" { (group.attribute) } }
                                td.num { (size(group)) }
                                @for column in columns { (cell(column, group)) }
                            }
                        }
                    }
                }
                tfoot {
                    @for summary in &SUMMARIES {
                        @if columns.iter().any(|column| (summary.value)(column.test).is_some()) {
                            tr {
                                th scope="row" colspan=(names) { (summary.name) }
                                @for column in columns { td { (percent((summary.value)(column.test))) } }
                            }
                        }
                    }
                    tr {
                        th scope="row" colspan=(names) { "n" }
                        @for column in columns { td { (count(column.test.count)) } }
                    }
                }
            }
        }
    }
}

fn size(group: &GroupResult) -> String {
    if group.count == 0 { "n = 0".to_owned() } else { count(group.count) }
}

/// The figure of a group in a column, with its bar and interval.
fn cell(column: &Column<'_>, group: &GroupResult) -> Markup {
    let found = column.test.groups.iter().find(|other| other.name == group.name);
    let worst = column.test.worst_group.as_ref() == Some(&group.name);
    html! {
        @match found.and_then(|group| group.accuracy.map(|accuracy| (group, accuracy))) {
            None => td { (NONE) },
            Some((group, accuracy)) => td.worst[worst] {
                span.value { (percent(Some(accuracy))) }
                " " span.interval { (interval(group.interval.as_ref())) }
                @if worst { " " span.tag { "worst" } }
                (bar(column.tone, accuracy, group))
            },
        }
    }
}

fn bar(tone: &str, accuracy: f64, group: &GroupResult) -> Markup {
    html! {
        svg.bar.(tone) viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.ground x="0" y="2" width="100" height="4" {}
            rect.fill x="0" y="2" width=(at(100.0 * accuracy.clamp(0.0, 1.0))) height="4" {}
            @if let Some(range) = &group.interval {
                line.whisker x1=(at(100.0 * range.low)) x2=(at(100.0 * range.high)) y1="4" y2="4" {}
            }
        }
    }
}

/// Class by attribute, where every pair is one group.
fn maps(columns: &[Column<'_>]) -> Markup {
    let groups = columns.first().map_or(&[][..], |column| &column.test.groups);
    let classes = in_order(groups.iter().map(|group| group.class.as_str()));
    let attributes = in_order(groups.iter().map(|group| group.attribute.as_str()));
    let two_factors = classes.len() > 1 && attributes.len() > 1 && groups.len() == classes.len() * attributes.len();
    html! {
        @if two_factors {
            div.maps {
                @for column in columns {
                    div.scroll tabindex="0" role="group" aria-label={ "Map of accuracies, " (column.label) } {
                        table.map style={ "min-width:" (NARROWEST * (attributes.len() + 1)) "px" } {
                            caption { (column.label) ": accuracy in %, class by attribute" }
                            thead { tr {
                                td {}
                                @for attribute in &attributes { th scope="col" { (attribute) } }
                            } }
                            tbody { @for class in &classes { tr {
                                th scope="row" { (class) }
                                @for attribute in &attributes {
                                    @let found = column.test.groups.iter().find(|g| g.class == *class && g.attribute == *attribute);
                                    @let accuracy = found.and_then(|group| group.accuracy);
                                    td class=(shade(accuracy)) { (whole_percent(accuracy)) }
                                }
                            } } }
                        }
                    }
                }
            }
        }
    }
}

/// Class of the style sheet for an accuracy: the lower, the stronger.
fn shade(accuracy: Option<f64>) -> String {
    match accuracy.filter(|value| value.is_finite()) {
        Some(value) => format!("h{:.0}", (10.0 * value.clamp(0.0, 1.0)).floor()),
        None => "empty".to_owned(),
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// The evaluation with the random crop of training, where a run has it.
fn random_crop(runs: &[RunView]) -> Markup {
    let stages: Vec<_> = runs
        .iter()
        .flat_map(|run| run.results.stages.iter().map(move |stage| (run, stage)))
        .filter_map(|(run, stage)| stage.test_random_crop.as_ref().map(|test| (run, stage, test)))
        .collect();
    html! {
        @if !stages.is_empty() {
            div.scroll.after tabindex="0" role="group" aria-label="Evaluation with the random crop of training" {
                table {
                    caption { "With the random crop of training instead of the centre crop, as the paper evaluates" }
                    thead { tr { th scope="col" { "Model" } th.num scope="col" { "Worst group" } th.num scope="col" { "Average, plain" } th.num scope="col" { "n" } } }
                    tbody { @for (run, stage, test) in &stages { tr {
                        th scope="row" { @if runs.len() > 1 { (super::columns::name(&run.results, runs)) ": " } (stage.title) }
                        td.num { (percent(test.worst_group_accuracy)) " " span.interval { (interval(test.worst_group_interval.as_ref())) } }
                        td.num { (percent(Some(test.average_accuracy))) " " span.interval { (interval(test.average_interval.as_ref())) } }
                        td.num { (count(test.count)) }
                    } } }
                }
            }
        }
    }
}
