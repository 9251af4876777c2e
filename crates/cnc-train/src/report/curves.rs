//! Accuracy and loss over training, one chart a stage.

use maud::{Markup, html};

use super::charts::{Frame, apart, at, plain, ticks};
use super::columns::{name, tone};
use super::format::{count, duration, percent};
use super::view::RunView;
use crate::record::MetricLine;
use crate::training::StageResult;

/// Room at the right of a chart for the names of its lines.
const LABELS: f64 = 104.0;

/// Distance between two lines of text.
const LINE: f64 = 16.0;

/// Whether there is anything to draw.
pub(super) fn has_curves(run: &RunView) -> bool {
    run.metrics.iter().any(|line| line.worst_group_accuracy.is_some() || line.average_accuracy.is_some())
}

/// The section.
pub(super) fn curves(runs: &[RunView]) -> Markup {
    html! {
        p.lede {
            "Accuracy on the validation split while training. The average tells little about the worst group: watch the distance between the two lines. The dotted line is the checkpoint whose figures are reported."
        }
        @for (index, run) in runs.iter().enumerate().filter(|(_, run)| has_curves(run)) {
            @if runs.len() > 1 { h3 { (name(&run.results, runs)) } }
            div.charts {
                @let last = run.results.stages.len().saturating_sub(1);
                @for (position, stage) in run.results.stages.iter().enumerate() {
                    @let lines: Vec<&MetricLine> = run.metrics.iter().filter(|line| line.stage == stage.name).collect();
                    @if !lines.is_empty() {
                        figure.chart {
                            figcaption.(tone(position, last)) { (stage.title) " " span.aside { (count(stage.steps)) " steps, " (duration(stage.duration_s)) } }
                            (accuracy(&format!("curve-{index}-{position}"), stage, &lines, tone(position, last)))
                            (loss(&format!("loss-{index}-{position}"), stage, &lines, tone(position, last)))
                        }
                    }
                }
            }
            (notes(run))
        }
    }
}

/// What the stages remarked, for example which fall-backs were taken.
fn notes(run: &RunView) -> Markup {
    let stages = run.results.stages.iter();
    let notes: Vec<_> = stages.flat_map(|stage| stage.notes.iter().map(move |note| (&stage.title, note))).collect();
    html! {
        @if !notes.is_empty() {
            details {
                summary { (notes.len()) @if notes.len() == 1 { " remark" } @else { " remarks" } }
                ul.notes { @for (stage, note) in notes { li { (stage) ": " (note) } } }
            }
        }
    }
}

fn epochs(lines: &[&MetricLine]) -> (f64, f64) {
    (0.0, lines.iter().map(|line| line.epoch).filter(|epoch| epoch.is_finite()).fold(0.0, f64::max))
}

fn accuracy(id: &str, stage: &StageResult, lines: &[&MetricLine], tone: &str) -> Markup {
    let frame = Frame {
        width: 520.0,
        height: 280.0,
        left: 42.0,
        right: 520.0 - LABELS,
        top: 30.0,
        bottom: 238.0,
        x: epochs(lines),
        y: (0.0, 1.0),
    };
    let series = |value: fn(&MetricLine) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
        lines.iter().filter(|line| line.split == "val").map(|line| (line.epoch, value(line))).collect()
    };
    let worst = series(|line| line.worst_group_accuracy);
    let average = series(|line| line.average_accuracy);
    let ends = [last_value(&worst), last_value(&average)];
    let labels = apart(&ends.map(|end| frame.at_y(end.unwrap_or(0.0))), 2.2 * LINE, frame.bottom - LINE);
    html! {
        svg viewBox={ "0 0 " (frame.width) " " (frame.height) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (stage.title) ": worst-group and average accuracy on the validation split" }
            desc id={ (id) "-d" } {
                "Over " (plain(frame.x.1)) " epochs the worst group ends at " (percent(ends[0])) " and the average at " (percent(ends[1]))
                ". The reported checkpoint is that of epoch " (plain(stage.selected.epoch)) ", step " (stage.selected.step) "."
            }
            (frame.y_axis(&[0.0, 0.25, 0.5, 0.75, 1.0], |value| format!("{:.0}", 100.0 * value)))
            text.tick x="0" y="11" { "accuracy, %" }
            (frame.x_axis("epoch"))
            (chosen(&frame, stage.selected.epoch))
            path.line.average d=(frame.path(&average)) {}
            path.line.worst.(tone) d=(frame.path(&worst)) {}
            @for (y, (label, end)) in labels.iter().zip([("worst group", ends[0]), ("average", ends[1])]) {
                @if end.is_some() {
                    text.label.(if label == "average" { "average" } else { tone }) y=(at(y + 4.5)) {
                        tspan x=(at(frame.right + 8.0)) { (label) " " }
                        tspan x=(at(frame.right + 8.0)) dy=(LINE) { (percent(end)) }
                    }
                }
            }
        }
    }
}

fn chosen(frame: &Frame, epoch: f64) -> Markup {
    let x = frame.at_x(epoch);
    let near_end = x > frame.right - 60.0;
    html! {
        line.chosen x1=(at(x)) x2=(at(x)) y1=(at(frame.top - 12.0)) y2=(at(frame.bottom)) {}
        text.tick x=(at(if near_end { x - 5.0 } else { x + 5.0 })) y=(at(frame.top - 5.0)) text-anchor=(if near_end { "end" } else { "start" }) { "reported" }
    }
}

fn last_value(series: &[(f64, Option<f64>)]) -> Option<f64> {
    series.iter().rev().find_map(|(_, value)| *value)
}

fn loss(id: &str, stage: &StageResult, lines: &[&MetricLine], tone: &str) -> Markup {
    let points: Vec<(f64, Option<f64>)> =
        lines.iter().filter(|line| line.split == "train").map(|line| (line.epoch, line.loss)).collect();
    let values: Vec<f64> = points.iter().filter_map(|(_, loss)| *loss).filter(|loss| loss.is_finite()).collect();
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return html! {};
    };
    let most = values.iter().copied().fold(0.0, f64::max);
    let frame = Frame {
        width: 520.0,
        height: 130.0,
        left: 42.0,
        right: 520.0 - LABELS,
        top: 32.0,
        bottom: 110.0,
        x: epochs(lines),
        y: (values.iter().copied().fold(0.0, f64::min), most.max(1e-9)),
    };
    html! {
        svg viewBox={ "0 0 " (frame.width) " " (frame.height) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (stage.title) ": training loss" }
            desc id={ (id) "-d" } { "From " (plain(*first)) " to " (plain(*last)) "." }
            (frame.y_axis(&ticks(frame.y.0, frame.y.1, 3), plain))
            text.tick x="0" y="11" { "training loss" }
            line.axis x1=(at(frame.left)) x2=(at(frame.right)) y1=(at(frame.bottom)) y2=(at(frame.bottom)) {}
            path.line.thin.(tone) d=(frame.path(&points)) {}
            text.label.(tone) x=(at(frame.right + 8.0)) y=(at(frame.at_y(*last) + 4.0)) { "loss " (plain(*last)) }
        }
    }
}
