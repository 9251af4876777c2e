//! Runs to make pages of.

use cnc_core::evaluation::Interval;

use crate::record::story::{
    Content, ContrastiveBatch, Counterfactual, Picture, Representations, Sample, StageAnswer, Story, WorstGroup,
};
use crate::record::{MetricLine, Results};
use crate::report::RunView;
use crate::training::{GroupResult, Selected, SplitResult, StageResult, TrainingErrors};

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
        calibration_error: Some(0.05),
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
        worst_class_precision: Some(0.65),
        worst_class_f1: Some(0.66),
        auroc: Some(0.8),
        calibration_error: Some(0.04),
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
        samples: 640,
        duration_s: 1.0,
        selected: Selected { stage: name.into(), epoch: 2.0, step: 20, metric: "worst group".into(), value: worst },
        alternatives: Vec::new(),
        training_errors: Some(TrainingErrors { count: 100, errors: 7, minority_errors: 6 }),
        failure: None,
        notes: Vec::new(),
        val: split(worst),
        test: split(worst),
        test_random_crop: None,
        alignment_loss: Some(0.5),
    }
}

fn sample(row: u32) -> Sample {
    let picture = Picture { png: "iVBORw0KGgo=".into(), width: 32, height: 32 };
    let said = |title: &str| StageAnswer { title: title.into(), class: "camel".into(), confidence: Some(0.9) };
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

pub(super) fn line(stage: &str, epoch: f64, split: &str, value: Option<f64>) -> MetricLine {
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

pub(super) fn two_stages() -> RunView {
    let (erm, cnc) = (stage("erm", 0.1), stage("cnc", 0.8));
    let metrics = ["erm", "cnc"].into_iter().flat_map(|stage| {
        [line(stage, 1.0, "train", Some(0.7)), line(stage, 1.0, "val", Some(0.2)), line(stage, 2.0, "val", None)]
    });
    RunView {
        results: Results {
            version: "0.1.0".into(),
            dataset: "farm".into(),
            method: "cnc".into(),
            model: "lenet".into(),
            seed: 3,
            device: "cpu".into(),
            threads: 2,
            limit: None,
            weights: vec!["no weights in model: drawn at random from the seed".into()],
            data: vec!["2 of 9 texts are cut".into()],
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

pub(super) fn one_stage() -> RunView {
    let mut run = two_stages();
    run.results.method = "erm".into();
    run.results.stages.truncate(1);
    run.results.stages[0].training_errors = None;
    run.results.test = run.results.stages[0].test.clone();
    run.story = None;
    run
}
