//! `report.html`: the story of a run in pictures, one self-contained file that needs neither network nor scripts.
//!
//! Every figure comes with its interval, n, label budget and selection rule; what does not apply to a method is
//! left out. All text from outside is escaped by the template engine.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::view::RunView;
use super::{columns, curves, gallery, groups, headline, representations, settings};

const STYLE: &str = include_str!("style.css");

/// A section of the page, where there is something to show.
struct Section {
    id: &'static str,
    title: String,
    body: Markup,
}

/// The whole page, for one run or several side by side.
#[must_use]
pub(crate) fn render(runs: &[RunView]) -> String {
    let sections = sections(runs);
    let title = match runs {
        [run] => format!("{}, {}, seed {}", run.results.dataset, run.results.method, run.results.seed),
        _ => format!("{} runs side by side", runs.len()),
    };
    let body = html! {
        a.skip href="#main" { "Skip to the results" }
        header.head { (headline::headline(runs)) }
        nav aria-label="Sections" { ul { @for section in &sections { li { a href={ "#" (section.id) } { (section.title) } } } } }
        main id="main" tabindex="-1" {
            @for section in &sections {
                section.part id=(section.id) aria-labelledby={ (section.id) "-h" } {
                    h2 id={ (section.id) "-h" } { (section.title) }
                    (section.body)
                }
            }
        }
        footer.foot { p { "Made by cnc-train from the files of the run folder." } }
    };
    document(&title, STYLE, &body)
}

/// A page of HTML that needs nothing else.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn sections(runs: &[RunView]) -> Vec<Section> {
    let first = runs.first().and_then(|run| run.results.stages.first()).map_or("the first stage", |stage| &stage.title);
    let mut sections = Vec::new();
    let mut add = |id, title: String, body: Option<Markup>| {
        if let Some(body) = body {
            sections.push(Section { id, title, body });
        }
    };
    add(
        "errors",
        format!("What {first} got wrong"),
        each(runs, |_, run| {
            let batch = run.story.as_ref()?.contrastive_batch.as_ref()?;
            Some(gallery::contrastive_batch(batch, run.results.stages.first()))
        }),
    );
    add("training", "Over training".into(), runs.iter().any(curves::has_curves).then(|| curves::curves(runs)));
    add("groups", "Group by group".into(), Some(groups::groups(runs)));
    add(
        "counterfactuals",
        "Only the attribute changes".into(),
        each(runs, |_, run| {
            let shown = &run.story.as_ref()?.counterfactuals;
            (!shown.is_empty()).then(|| gallery::counterfactuals(shown, &run.results))
        }),
    );
    add(
        "representations",
        "What the model sees as alike".into(),
        each(runs, |index, run| {
            let story = run.story.as_ref().filter(|story| !story.representations.is_empty())?;
            Some(representations::representations(index, story))
        }),
    );
    let aligned = representations::alignment_rows(runs).len() > 1;
    add("alignment", "Alignment".into(), aligned.then(|| representations::alignment(runs)));
    add(
        "worst",
        "Still wrong".into(),
        each(runs, |_, run| {
            let worst = run.story.as_ref()?.worst_group.as_ref()?;
            (!worst.samples.is_empty()).then(|| gallery::worst_group(worst))
        }),
    );
    add("settings", "Settings".into(), Some(settings::settings(runs)));
    add("repeat", "How to repeat".into(), Some(settings::repeat(runs)));
    sections
}

/// A part of the page that every run has its own of; `None` when no run has it.
fn each(runs: &[RunView], part: impl Fn(usize, &RunView) -> Option<Markup>) -> Option<Markup> {
    let parts: Vec<(&RunView, Markup)> =
        runs.iter().enumerate().filter_map(|(index, run)| Some((run, part(index, run)?))).collect();
    (!parts.is_empty()).then(|| {
        html! {
            @for (run, part) in parts {
                @if runs.len() > 1 { h3.run { (columns::name(&run.results, runs)) } }
                (part)
            }
        }
    })
}
