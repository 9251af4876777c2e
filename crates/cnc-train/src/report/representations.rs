//! Representations in two dimensions, and the alignment loss.

use maud::{Markup, html};

use super::charts::{COLOURS, Frame, at, mark};
use super::columns::{name, tone};
use super::format::{count, number, whole_percent};
use super::view::RunView;
use crate::record::story::{Representations, Story};

/// By what the marks of a picture are told apart.
#[derive(Clone, Copy)]
enum By {
    Class,
    Attribute,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Attribute => "attribute",
        }
    }

    fn names(self, story: &Story) -> &[String] {
        match self {
            Self::Class => &story.classes,
            Self::Attribute => &story.attributes,
        }
    }

    fn of(self, shown: &Representations) -> &[u32] {
        match self {
            Self::Class => &shown.classes,
            Self::Attribute => &shown.attributes,
        }
    }
}

/// The stages of a run beside each other, by class and by attribute.
pub(super) fn representations(id: usize, story: &Story) -> Markup {
    let shown = story.representations.first();
    html! {
        p.lede {
            @if let Some(shown) = shown {
                (shown.x.len()) " of " (count(shown.count)) " test samples, the same in every picture: each model’s representations, scaled to length 1, in the plane of their two principal components, which hold "
                (variances(story)) " of the variance. "
            }
            "A model that reads the attribute keeps samples of one attribute together; one that does not keeps classes together."
        }
        div.charts.pictures {
            @for by in [By::Class, By::Attribute].into_iter().filter(|by| !by.names(story).is_empty()) {
                @let last = story.representations.len().saturating_sub(1);
                @for (index, shown) in story.representations.iter().enumerate() {
                    figure.chart {
                        figcaption.(tone(index, last)) { (shown.title) ", by " (by.name()) }
                        (legend(by, story))
                        (scatter(&format!("points-{id}-{index}-{}", by.name()), by, shown, story))
                    }
                }
            }
        }
    }
}

fn variances(story: &Story) -> String {
    let parts = story.representations.iter().map(|shown| {
        let share = shown.explained.iter().sum::<f64>();
        format!("{}\u{202f}% ({})", whole_percent(Some(share)), shown.title)
    });
    parts.collect::<Vec<_>>().join(" and ")
}

fn legend(by: By, story: &Story) -> Markup {
    html! {
        ul.legend aria-label={ "Marks by " (by.name()) } {
            @for (index, name) in by.names(story).iter().enumerate() {
                li { svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path class={ "mark k" (index % COLOURS) } d=(mark(index, 8.0, 8.0, 5.0)) {} } " " (name) }
            }
        }
    }
}

fn scatter(id: &str, by: By, shown: &Representations, story: &Story) -> Markup {
    let (x, y) = extents(shown);
    let frame = Frame { width: 440.0, height: 380.0, left: 12.0, right: 428.0, top: 12.0, bottom: 368.0, x, y };
    html! {
        svg.scatter viewBox={ "0 0 " (frame.width) " " (frame.height) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (shown.title) ": representations of test samples, marked by " (by.name()) }
            desc id={ (id) "-d" } { (shown.x.len()) " of " (count(shown.count)) " test samples in two dimensions. Samples that the model sees alike lie near each other." }
            @for (index, _) in by.names(story).iter().enumerate() {
                path class={ "mark k" (index % COLOURS) } d=(marks(&frame, by, shown, index)) {}
            }
        }
    }
}

fn marks(frame: &Frame, by: By, shown: &Representations, category: usize) -> String {
    let points = shown.x.iter().zip(&shown.y).zip(by.of(shown));
    points
        .filter(|((x, y), of)| **of as usize == category && x.is_finite() && y.is_finite())
        .map(|((x, y), _)| mark(category, frame.at_x(f64::from(*x)), frame.at_y(f64::from(*y)), 3.4))
        .collect()
}

/// The ranges of both coordinates, made equally long so that distances look as long as they are.
fn extents(shown: &Representations) -> ((f64, f64), (f64, f64)) {
    let range = |values: &[f32]| {
        let finite = values.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x, y) = (range(&shown.x), range(&shown.y));
    let half = 0.5 * (x.1 - x.0).max((y.1 - y.0) * 416.0 / 356.0);
    let around = |(low, high): (f64, f64), half: f64| (0.5 * (low + high) - half, 0.5 * (low + high) + half);
    (around(x, half), around(y, half * 356.0 / 416.0))
}

/// The alignment loss of every stage that has one.
pub(super) fn alignment(runs: &[RunView]) -> Markup {
    let rows = alignment_rows(runs);
    let most = rows.iter().map(|row| row.2).fold(0.0, f64::max);
    html! {
        p.lede {
            "The mean distance between test representations, scaled to length 1, of the same class and different attribute: 0 when the attribute does not move a sample at all, at most 2."
        }
        table.alignment {
            caption.hidden { "Alignment loss" }
            thead { tr { th scope="col" { "Model" } th.num scope="col" { "Alignment loss" } td {} } }
            tbody { @for (label, tone, value) in &rows { tr {
                th.(tone) scope="row" { (label) }
                td.num { (number(*value)) }
                td.bars { svg.bar.(tone) viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                    rect.fill x="0" y="1" width=(at(if most > 0.0 { 100.0 * value / most } else { 0.0 })) height="6" {}
                } }
            } } }
        }
    }
}

/// Label, tone and value of every stage with an alignment loss.
pub(super) fn alignment_rows(runs: &[RunView]) -> Vec<(String, &'static str, f64)> {
    let mut rows = Vec::new();
    for run in runs {
        let last = run.results.stages.len().saturating_sub(1);
        for (index, stage) in run.results.stages.iter().enumerate() {
            if let Some(value) = stage.alignment_loss.filter(|value| value.is_finite()) {
                let label = match runs {
                    [_] => stage.title.clone(),
                    _ => format!("{}: {}", name(&run.results, runs), stage.title),
                };
                rows.push((label, tone(index, last), value));
            }
        }
    }
    rows
}
