//! Sections, samples and words of the page.

use super::runs::{one_stage, two_stages};
use crate::record::story::Content;
use crate::report::render;

#[test]
fn the_page_has_every_section_and_needs_nothing_else() {
    let page = render(&[two_stages()]);
    for id in [
        "errors",
        "training",
        "groups",
        "counterfactuals",
        "representations",
        "alignment",
        "worst",
        "settings",
        "repeat",
    ] {
        assert!(page.contains(&format!("<section class=\"part\" id=\"{id}\"")), "{id}");
    }
    for outside in ["<script", "<link", "http:", "https:", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page, render(&[two_stages()]), "the same run gives the same page");
}

#[test]
fn a_method_with_one_stage_has_no_empty_section() {
    let page = render(&[one_stage()]);
    for id in ["errors", "counterfactuals", "representations", "alignment", "worst"] {
        assert!(!page.contains(&format!("id=\"{id}\"")) && !page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    assert!(page.contains("id=\"groups\"") && page.contains("id=\"training\""));
}

#[test]
fn samples_that_stand_in_for_errors_are_not_called_errors() {
    let mut run = two_stages();
    let batch = run.story.as_mut().unwrap().contrastive_batch.as_mut().unwrap();
    batch.slice = "camel".into();
    let page = render(&[run.clone()]);
    assert!(page.contains("said something else") && !page.contains("stand in for errors"));
    let batch = run.story.as_mut().unwrap().contrastive_batch.as_mut().unwrap();
    for sample in &mut batch.positives {
        sample.predictions[0].class.clone_from(&sample.class);
    }
    let page = render(&[run]);
    assert!(!page.contains("said something else") && page.contains("got every sample of it right"));
}

#[test]
fn text_from_outside_is_escaped() {
    let mut run = two_stages();
    let evil = "<script>alert(1)</script>\" onload=\"x";
    run.results.dataset = evil.into();
    run.results.stages[0].title = evil.into();
    run.results.stages[1].test.groups[0].attribute = evil.into();
    run.settings = toml::Table::from_iter([(evil.to_owned(), toml::Value::from(evil))]);
    if let Some(story) = &mut run.story {
        story.classes[0] = evil.into();
        story.worst_group.as_mut().unwrap().samples[0].content = Content::Text(evil.into());
        story.counterfactuals[0].versions[0].attribute = evil.into();
    }
    let page = render(&[run.clone(), run]);
    assert!(!page.contains("<script") && !page.contains("\" onload"));
}

#[test]
fn several_runs_stand_side_by_side_and_their_differences_are_marked() {
    let (first, mut second) = (two_stages(), two_stages());
    second.results.seed = 4;
    second.settings.insert("seed".into(), toml::Value::from(4));
    let page = render(&[first, second]);
    assert!(
        page.contains(
            "<th class=\"new\" scope=\"col\">cnc, seed 3</th><th class=\"new\" scope=\"col\">cnc, seed 4</th>"
        )
    );
    assert_eq!(page.matches("<span class=\"tag\">differs</span>").count(), 1);
    assert_eq!(page.matches("ERM: worst-group and average accuracy").count(), 2, "one chart a stage of each run");
}
