//! Samples: one contrastive batch of the first stage's errors, counterfactuals, and errors in the worst group.

use maud::{Markup, html};

use super::format::{count, percent, whole_percent};
use crate::record::Results;
use crate::record::story::{Content, ContrastiveBatch, Counterfactual, Sample, StageAnswer, WorstGroup};
use crate::training::StageResult;

/// The first stage's errors, laid out as the method uses them.
pub(super) fn contrastive_batch(batch: &ContrastiveBatch, stage: Option<&StageResult>) -> Markup {
    let errors = stage.and_then(|stage| stage.training_errors.as_ref());
    let class = batch.anchors.first().map_or("", |sample| &sample.class);
    html! {
        p.lede {
            @if let Some(errors) = errors {
                "Of " (count(errors.count)) " training samples " (batch.title) " gets " (count(errors.errors)) " wrong, and "
                (count(errors.minority_errors)) " of those are not of the largest group of their class. "
            }
            "Its errors say which samples share a class but not the shortcut. Contrast does the rest, and no attribute label is read."
            @if let Some(stage) = stage.filter(|stage| stage.selected.step < stage.steps) {
                " What " (batch.title) " says here is what it said after its last step, " (count(stage.steps))
                "; its figures on the rest of this page are those of step " (count(stage.selected.step)) ", selected on validation."
            }
        }
        div.batch {
            section.positives {
                h3 { "Positives" }
                @if all_said(&batch.positives, |sample| sample.class.as_str()) {
                    p { "The anchors’ class, " q { (class) } ". " (batch.title) " got every sample of it right: they stand in for errors that there are not." }
                } @else {
                    p { "The anchors’ class, " q { (class) } ", but " (batch.title) " said something else: what stands below each." }
                }
                (samples(&batch.positives, Caption::Said))
            }
            p.force.pull { span aria-hidden="true" { "→ ←" } " pulled together" }
            section.anchors {
                h3 { "Anchors" }
                p { (batch.title) " said " q { (batch.slice) } " and was right: the attribute points the same way as the class." }
                (samples(&batch.anchors, Caption::None))
            }
            p.force.push { span aria-hidden="true" { "← →" } " pushed apart" }
            section.negatives {
                h3 { "Negatives" }
                @if all_said(&batch.negatives, |_| batch.slice.as_str()) {
                    p { (batch.title) " said " q { (batch.slice) } " here too, but they are of other classes, named below. What they share with the anchors is the shortcut." }
                } @else {
                    p { "Other classes, named below. " (batch.title) " was right wherever it said " q { (batch.slice) } ": they stand in for errors that there are not." }
                }
                (samples(&batch.negatives, Caption::Is))
            }
        }
    }
}

/// Whether the stage said of every sample what `expected` names: which of them are errors, and which a fall-back.
fn all_said<'a>(samples: &'a [Sample], expected: impl Fn(&'a Sample) -> &'a str) -> bool {
    samples.iter().all(|sample| sample.predictions.first().is_none_or(|said| said.class == expected(sample)))
}

/// What stands below a sample.
#[derive(Clone, Copy)]
enum Caption {
    /// Nothing: the text above says it.
    None,
    /// What the stage said.
    Said,
    /// Of which class it is.
    Is,
    /// Predictions with confidence.
    Confidence,
}

fn samples(samples: &[Sample], caption: Caption) -> Markup {
    html! {
        ul.samples.texts[samples.iter().any(|sample| matches!(sample.content, Content::Text(_)))] {
            @for sample in samples {
                li { figure {
                    (content(sample))
                    @if !matches!(caption, Caption::None) { figcaption { @match caption {
                        Caption::None => {},
                        Caption::Said => @for said in &sample.predictions { span { (said.class) } },
                        Caption::Is => span { (sample.class) },
                        Caption::Confidence => @for said in &sample.predictions { span {
                            (said.title) ": " (said.class) @if said.confidence.is_some() { ", " (whole_percent(said.confidence)) "\u{202f}%" }
                        } },
                    } } }
                } }
            }
        }
    }
}

/// The input itself.
fn content(sample: &Sample) -> Markup {
    html! {
        @match &sample.content {
            Content::Picture(picture) => img.small[picture.width.max(picture.height) <= 64] src={ "data:image/png;base64," (picture.png) }
                width=(picture.width) height=(picture.height) alt={ "Row " (sample.row) ": class " (sample.class) @if !sample.attribute.is_empty() { ", attribute " (sample.attribute) } };,
            Content::Text(text) => blockquote { p { (text) } footer { "class " (sample.class) @if !sample.attribute.is_empty() { ", attribute " (sample.attribute) } } },
        }
    }
}

/// Test samples in every attribute value.
pub(super) fn counterfactuals(shown: &[Counterfactual], results: &Results) -> Markup {
    let names: Vec<&str> =
        shown.first().map_or(Vec::new(), |c| c.versions.iter().map(|v| v.attribute.as_str()).collect());
    let first = results.stages.first().map_or("the first stage", |stage| &stage.title);
    let rates: Vec<String> = results
        .stages
        .iter()
        .filter_map(|stage| stage.test.flip_rate.map(|rate| format!("{} {}", stage.title, percent(Some(rate)))))
        .collect();
    html! {
        p.lede {
            "The same test sample with only the attribute changed: of each class shown, the first on which " (first) " changes its mind."
            @if !rates.is_empty() { " Over the whole test split the prediction changes for: " (rates.join(", ")) "." }
        }
        div.scroll tabindex="0" role="group" aria-label="Counterfactuals" {
            table.counterfactuals {
                caption.hidden { "Predictions for the same sample under every attribute value; a tick is right, a cross is wrong" }
                thead { tr { td {} @for name in &names { th scope="col" { (name) } } } }
                @for counterfactual in shown {
                    @let titles: Vec<&str> = counterfactual.versions.first().map_or(Vec::new(), |v| v.predictions.iter().map(|p| p.title.as_str()).collect());
                    tbody {
                        tr { th scope="row" { "is " (counterfactual.class) } @for version in &counterfactual.versions { td { (content(version)) } } }
                        @for (index, title) in titles.iter().enumerate() {
                            tr {
                                th scope="row" { (title) }
                                @for version in &counterfactual.versions {
                                    @if let Some(said) = version.predictions.get(index) { (verdict(said, &version.class)) } @else { td {} }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn verdict(said: &StageAnswer, class: &str) -> Markup {
    let right = said.class == class;
    html! {
        td.right[right].wrong[!right] {
            span.sign role="img" aria-label=(if right { "right" } else { "wrong" }) { (if right { "✓" } else { "✗" }) } " "
            (said.class)
            @if said.confidence.is_some() { " " span.interval { (whole_percent(said.confidence)) "\u{202f}%" } }
        }
    }
}

/// The reported model's errors in its worst group.
pub(super) fn worst_group(worst: &WorstGroup) -> Markup {
    html! {
        p.lede {
            (worst.title) " gets " (count(worst.wrong)) " of the " (count(worst.count)) " test samples of its worst group wrong: "
            strong { (worst.group) } ". "
            @if (worst.samples.len() as u64) < worst.wrong { "The first " (worst.samples.len()) " in row order, " } @else { "All of them, " }
            "with what was predicted and how sure it was."
        }
        div.wide { (samples(&worst.samples, Caption::Confidence)) }
    }
}
