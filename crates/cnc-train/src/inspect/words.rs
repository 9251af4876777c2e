//! An inspection in sentences, and what to do about it.

use std::fmt::Write;

use super::Inspection;
use super::findings::{Described, Sides};
use crate::report::format::{plain_interval, plain_percent};

/// Findings and samples that are said; the files have all.
const SAID: usize = 5;
/// Findings that something is advised about: the weaker ones often go with these.
const ADVISED: usize = 2;
/// The share of right answers from which a model's doubts about labels are worth looking at.
const TRUSTED: f64 = 0.8;
/// A calibration error from which probabilities are not to be taken by their word.
const MISCALIBRATED: f64 = 0.05;

/// What is to be said on the terminal.
#[must_use]
pub(crate) fn said(inspection: &Inspection) -> String {
    let figures = &inspection.figures;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} on the {} split of {}, n = {}: {} % right, {} % in the worst group ({}; 95 % interval {})",
        inspection.run,
        figures.split,
        inspection.dataset,
        figures.count,
        plain_percent(Some(figures.average_accuracy)),
        plain_percent(figures.worst_group_accuracy),
        figures.worst_group.as_deref().unwrap_or("none has samples"),
        plain_interval(figures.worst_group_interval)
    );
    let _ = writeln!(out, "\nwhat is taken for what (rows are classes, columns answers):\n{}", confusion(inspection));
    let _ = writeln!(out, "what the errors go with, found in one half of the samples and tested in the other:");
    let confirmed: Vec<&Described> = inspection.findings.iter().filter(|finding| finding.is_confirmed).collect();
    if confirmed.is_empty() {
        let _ = writeln!(out, "  nothing of {} properties that were looked at", inspection.findings.len());
    }
    for finding in confirmed.iter().take(SAID) {
        let (effect, p) = (finding.association.effect, p_value(finding.tested.unwrap_or(1.0)));
        let _ = writeln!(out, "  {} (effect {effect:.2}, p {p} in the test half)", finding.property);
        for sides in finding.contrasts.iter().take(2) {
            let _ = writeln!(out, "    {}", contrast(sides));
        }
    }
    if confirmed.len() > SAID {
        let _ = writeln!(out, "  and {} more, in associations.csv", confirmed.len() - SAID);
    }
    let _ = writeln!(out, "\nwhat to do now:");
    for advice in advice(inspection, &confirmed) {
        let _ = writeln!(out, "  - {advice}");
    }
    out
}

/// A p-value as far as it can be told from 0.
fn p_value(p: f64) -> String {
    const LEAST: f64 = 1e-12;
    if p < LEAST { format!("< {LEAST:.0e}") } else { format!("= {p:.1e}") }
}

fn contrast(sides: &Sides) -> String {
    let rate = |wrong: usize, count: usize| plain_percent((count > 0).then(|| wrong as f64 / count as f64));
    let points = |value: f64| format!("{:.0}", 100.0 * value);
    let interval =
        sides.interval.map(|interval| format!(", 95 % interval {} to {}", points(interval.low), points(interval.high)));
    format!(
        "{} with {}: {} % wrong (n = {}), without {} % (n = {}); {} points{}",
        sides.class,
        sides.value,
        rate(sides.wrong_with, sides.with),
        sides.with,
        rate(sides.wrong_without, sides.without),
        sides.without,
        sides.difference.map(points).unwrap_or_default(),
        interval.unwrap_or_default()
    )
}

fn confusion(inspection: &Inspection) -> String {
    let mut rows = vec![[vec![String::new()], inspection.classes.clone()].concat()];
    for (class, counts) in inspection.classes.iter().zip(&inspection.confusion) {
        rows.push([vec![class.clone()], counts.iter().map(u64::to_string).collect()].concat());
    }
    crate::report::table::aligned(&rows, crate::report::table::NO_RULE)
}

/// What would help, by what was found.
fn advice(inspection: &Inspection, confirmed: &[&Described]) -> Vec<String> {
    let mut advice = Vec::new();
    for finding in confirmed.iter().take(ADVISED) {
        if let Some((sides, difference)) = finding.contrasts.first().and_then(|sides| Some((sides, sides.difference?)))
        {
            let which = if difference > 0.0 { "with" } else { "without" };
            advice.push(format!(
                "collect training samples of `{}` {which} {} ({}): the model errs there",
                sides.class, sides.value, finding.property
            ));
        }
    }
    if !confirmed.is_empty() && inspection.method == "erm" {
        advice.push(
            "train without relying on it: the same command with --method cnc, which needs no group labels".to_owned(),
        );
    }
    let confident = inspection.labels.iter().filter(|label| label.is_confident).count();
    if inspection.figures.average_accuracy < TRUSTED && confident > 0 {
        advice.push("leave labels.csv aside: a model that errs so often says little about labels".to_owned());
    } else if let (Some(first), true) = (inspection.labels.first(), confident > 0) {
        advice.push(format!(
            "look at the first of {confident} labels in labels.csv that are likely wrong, or of rare cases; the surest: {}, labelled \
             `{}`, likely `{}`",
            first.sample, first.label, first.likely
        ));
    }
    if let Some(error) = inspection.figures.calibration_error.filter(|error| *error > MISCALIBRATED) {
        advice.push(format!(
            "do not take its probabilities by their word: they are off by {} points on average",
            plain_percent(Some(error))
        ));
    }
    if let Some(first) = inspection.errors.first() {
        advice.push(format!(
            "look at errors.csv, the surest wrong answers first: {}, `{}` taken for `{}`",
            first.sample, first.class, first.predicted
        ));
    }
    if advice.is_empty() {
        advice.push("nothing: it makes no errors here".to_owned());
    }
    advice
}
