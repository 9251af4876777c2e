//! What the page must be for everybody: complete, escaped, without gaps, readable without colour or pointer.

use std::collections::BTreeSet;

use cnc_core::intervals::Interval;

use super::{RecordError, RunRecord, render};
use crate::log::MetricLine;
use crate::results::{GroupResult, Results, Selected, SplitResult, StageResult, TrainingErrors};
use crate::story::{
    Content, ContrastiveBatch, Counterfactual, Picture, Prediction, Representations, Sample, Story, WorstGroup,
};

fn group(class: &str, attribute: &str, correct: u64, count: u64) -> GroupResult {
    let accuracy = (count > 0).then(|| correct as f64 / count as f64);
    GroupResult {
        name: format!("{class} / {attribute}"),
        class: class.into(),
        attribute: attribute.into(),
        count,
        correct,
        accuracy,
        interval: accuracy.map(|a| Interval { low: (a - 0.1).max(0.0), high: (a + 0.1).min(1.0) }),
    }
}

fn split(worst: f64) -> SplitResult {
    SplitResult {
        split: "test".into(),
        count: 40,
        average_accuracy: 0.75,
        average_interval: Some(Interval { low: 0.6, high: 0.86 }),
        adjusted_average_accuracy: Some(0.9),
        mean_group_accuracy: Some(0.7),
        worst_group_accuracy: Some(worst),
        worst_group_interval: Some(Interval { low: 0.0, high: 0.5 }),
        worst_group: Some("cow / beach".into()),
        worst_class_accuracy: Some(0.6),
        flip_rate: Some(0.25),
        groups_overlap: false,
        groups: vec![
            group("cow", "pasture", 9, 10),
            group("cow", "beach", (10.0 * worst) as u64, 10),
            group("camel", "pasture", 0, 0),
            group("camel", "beach", 19, 20),
        ],
    }
}

fn stage(name: &str, worst: f64) -> StageResult {
    StageResult {
        name: name.into(),
        title: name.to_uppercase(),
        steps: 20,
        duration_s: 1.0,
        selected: Selected { stage: name.into(), epoch: 2.0, step: 20, metric: "worst group".into(), value: worst },
        training_errors: Some(TrainingErrors { count: 100, errors: 7, minority_errors: 6 }),
        notes: Vec::new(),
        val: split(worst),
        test: split(worst),
        test_random_crop: None,
        alignment_loss: Some(0.5),
    }
}

fn sample(row: u32) -> Sample {
    let picture = Picture { png: "iVBORw0KGgo=".into(), width: 32, height: 32 };
    let said = |title: &str| Prediction { title: title.into(), class: "camel".into(), confidence: Some(0.9) };
    Sample {
        row,
        content: Content::Picture(picture),
        class: "cow".into(),
        attribute: "beach".into(),
        predictions: vec![said("ERM"), said("CNC")],
    }
}

fn representations(title: &str) -> Representations {
    Representations {
        title: title.into(),
        count: 40,
        explained: [0.5, 0.25],
        x: vec![0.0, 1.0, 2.0],
        y: vec![0.0, -1.0, 3.0],
        classes: vec![0, 1, 1],
        attributes: vec![1, 0, 1],
    }
}

fn story() -> Story {
    let samples = |from: u32| vec![sample(from), sample(from + 1)];
    Story {
        classes: vec!["cow".into(), "camel".into()],
        attributes: vec!["pasture".into(), "beach".into()],
        contrastive_batch: Some(ContrastiveBatch {
            title: "ERM".into(),
            slice: "cow".into(),
            anchors: samples(0),
            positives: samples(2),
            negatives: samples(4),
        }),
        worst_group: Some(WorstGroup {
            title: "CNC".into(),
            group: "cow / beach".into(),
            count: 10,
            wrong: 2,
            samples: samples(6),
        }),
        counterfactuals: vec![Counterfactual { class: "cow".into(), versions: samples(8) }],
        representations: vec![representations("ERM"), representations("CNC")],
    }
}

fn line(stage: &str, epoch: f64, split: &str, value: Option<f64>) -> MetricLine {
    let val = split == "val";
    MetricLine {
        stage: stage.into(),
        epoch,
        step: 10,
        split: split.into(),
        loss: value.filter(|_| !val),
        learning_rate: None,
        average_accuracy: value.filter(|_| val),
        worst_group_accuracy: value.filter(|_| val),
        worst_class_accuracy: None,
    }
}

fn two_stages() -> RunRecord {
    let (erm, cnc) = (stage("erm", 0.1), stage("cnc", 0.8));
    let metrics = ["erm", "cnc"].into_iter().flat_map(|stage| {
        [line(stage, 1.0, "train", Some(0.7)), line(stage, 1.0, "val", Some(0.2)), line(stage, 2.0, "val", None)]
    });
    RunRecord {
        results: Results {
            version: "0.1.0".into(),
            dataset: "farm".into(),
            method: "cnc".into(),
            model: "lenet".into(),
            seed: 3,
            device: "cpu".into(),
            threads: 2,
            limit: None,
            skipped_rows: 0,
            duration_s: 61.0,
            peak_memory_bytes: None,
            label_budget: "validation, for selection".into(),
            selection_rule: "best worst group on validation".into(),
            selected: cnc.selected.clone(),
            val: cnc.val.clone(),
            test: cnc.test.clone(),
            stages: vec![erm, cnc],
        },
        settings: "seed = 3\n[settings]\ntemperature = 0.05".parse().unwrap(),
        metrics: metrics.collect(),
        story: Some(story()),
    }
}

fn one_stage() -> RunRecord {
    let mut run = two_stages();
    run.results.method = "erm".into();
    run.results.stages.truncate(1);
    run.results.stages[0].training_errors = None;
    run.results.test = run.results.stages[0].test.clone();
    run.story = None;
    run
}

/// All values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

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
fn figures_stand_beside_interval_n_label_budget_and_selection_rule() {
    let page = render(&[two_stages()]);
    for text in [
        "80.0\u{202f}%",
        "95 % interval 0.0–50.0",
        "n = 10",
        "validation, for selection",
        "best worst group on validation",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("Average accuracy, plain") && page.contains("Average accuracy, adjusted"));
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
fn an_empty_group_is_n_0_and_a_dash() {
    let page = render(&[two_stages()]);
    assert!(page.contains("<td class=\"num\">n = 0</td><td>–</td><td>–</td>"));
}

#[test]
fn figures_that_do_not_exist_are_dashes_and_never_nan() {
    let mut run = two_stages();
    for test in run.results.stages.iter_mut().map(|stage| &mut stage.test) {
        test.average_accuracy = f64::NAN;
        test.average_interval = None;
        test.worst_group = None;
        test.worst_group_accuracy = None;
        test.worst_group_interval = None;
        test.groups.clear();
    }
    run.metrics[0].loss = Some(f64::NAN);
    run.results.stages[0].alignment_loss = Some(f64::INFINITY);
    if let Some(story) = &mut run.story {
        story.representations[0].x = vec![f32::NAN; 3];
        story.representations[1].x = vec![1.0; 3];
        story.representations[1].y = vec![1.0; 3];
    }
    let page = render(&[run]);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(page.contains("<p class=\"big\">–</p>"));
}

#[test]
fn answers_of_the_last_step_are_told_from_figures_of_the_selected_one() {
    let mut run = two_stages();
    let words = "what it said after its last step, 20; its figures on the rest of this page are those of step 15";
    assert!(!render(&[run.clone()]).contains("after its last step"));
    run.results.stages[0].selected.step = 15;
    assert!(render(&[run]).contains(words));
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

#[test]
fn a_cut_down_run_says_so() {
    let mut run = two_stages();
    run.results.limit = Some(50);
    let page = render(&[run]);
    assert!(page.contains("at most 50 samples of each split were used") && page.contains("--limit 50"));
}

#[test]
fn a_page_can_be_read_without_seeing_it() {
    for page in [render(&[two_stages()]), render(&[one_stage()]), render(&[two_stages(), one_stage()])] {
        let ids = values(&page, "id");
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "ids are unique");
        for reference in values(&page, "aria-labelledby").into_iter().flat_map(str::split_whitespace) {
            assert!(ids.contains(&reference), "{reference}");
        }
        for target in values(&page, "href") {
            assert!(ids.contains(&target.trim_start_matches('#')), "{target}");
        }
        assert_eq!(page.matches("<img").count(), values(&page, "alt").iter().filter(|alt| !alt.is_empty()).count());
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
        assert_eq!(
            page.matches("<svg").count(),
            page.matches("role=\"img\" aria-labelledby").count() + page.matches("aria-hidden=\"true\"").count()
                - page.matches("<p class=\"scale\" aria-hidden").count()
                - page.matches("<span aria-hidden").count()
                - page.matches("<p class=\"arrow\" aria-hidden").count()
        );
        let levels: Vec<u32> =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..at + 3].parse().ok()).collect();
        assert_eq!(levels.first(), Some(&1));
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "headings are in order: {levels:?}");
    }
}

#[test]
fn a_folder_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = two_stages();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.toml", run.settings.to_string());
    write("results.json", serde_json::to_string(&run.results).unwrap());
    write("story.json", serde_json::to_string(run.story.as_ref().unwrap()).unwrap());
    let lines: Vec<String> = run.metrics.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    write("metrics.jsonl", lines.join("\n"));
    assert_eq!(render(&[RunRecord::read(folder.path()).unwrap()]), render(&[run]));
}

#[test]
fn a_damaged_folder_is_refused_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    assert!(matches!(RunRecord::read(folder.path()), Err(RecordError::Unfinished { .. })));
    write("results.json", &serde_json::to_string(&two_stages().results).unwrap());
    assert!(
        matches!(RunRecord::read(folder.path()), Err(RecordError::Read { path, .. }) if path.ends_with("config.toml"))
    );
    write("config.toml", "seed = 1\nseed =\n");
    assert!(
        matches!(RunRecord::read(folder.path()), Err(RecordError::Content { path, line: 2, .. }) if path.ends_with("config.toml"))
    );
    write("config.toml", "seed = 1");
    let good = serde_json::to_string(&line("erm", 1.0, "val", Some(0.5))).unwrap();
    write("metrics.jsonl", &format!("{good}\n{}\n", &good[..20]));
    assert!(
        matches!(RunRecord::read(folder.path()), Err(RecordError::Content { path, line: 2, .. }) if path.ends_with("metrics.jsonl"))
    );
}
