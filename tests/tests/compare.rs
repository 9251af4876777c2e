//! Methods side by side: one command, a folder each, and a table that is the same however often it was stopped.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::{Outcome, Workbench};
use serde_json::Value;

const COMPARE: &[&str] = &[
    "compare",
    "digits",
    "--methods",
    "erm,rwg",
    "--seeds",
    "2",
    "--limit",
    "200",
    "--out",
    "table",
    "--set",
    "erm.epochs=2",
    "--set",
    "rwg.steps=6",
    "--set",
    "rwg.evaluate_every=2",
];

/// The comparison without what no two runs have in common.
fn figures(bench: &Workbench) -> Value {
    let mut comparison = bench.json("table/compare.json");
    for method in comparison["methods"].as_array_mut().unwrap() {
        for name in ["duration_s", "peak_memory_bytes"] {
            method.as_object_mut().unwrap().remove(name);
        }
        for run in method["runs"].as_array_mut().unwrap() {
            run.as_object_mut().unwrap().remove("duration_s");
        }
    }
    comparison
}

#[test]
fn a_comparison_has_means_deviations_budgets_and_paired_differences_in_every_form() {
    let bench = Workbench::new();
    let text = bench.run(COMPARE).success().stdout;
    for words in ["ERM", "RWG", "±", "training groups; validation groups for selection", "n - 1", "paired bootstrap"] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let comparison = bench.json("table/compare.json");
    let methods = comparison["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 2);
    for method in methods {
        let runs = method["runs"].as_array().unwrap();
        let worst: Vec<f64> = runs.iter().map(|run| run["worst_group"].as_f64().unwrap()).collect();
        let mean = (worst[0] + worst[1]) / 2.0;
        assert!((method["worst_group"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        let deviation = (worst[0] - worst[1]).abs() / 2f64.sqrt();
        assert!((method["worst_group"]["deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
    }
    let pairs = comparison["pairs"].as_array().unwrap();
    assert_eq!((pairs.len(), pairs[0]["seeds"].as_array().map(Vec::len)), (1, Some(2)));
    let difference = &pairs[0]["seeds"][0]["average"];
    let of = |index: usize| methods[index]["runs"][0]["average"].as_f64().unwrap();
    assert!((difference["observed"].as_f64().unwrap() - (of(0) - of(1))).abs() < 1e-12);
    let csv = String::from_utf8(bench.read("table/compare.csv")).unwrap();
    assert!(csv.starts_with("method,") && csv.lines().count() == 3, "{csv}");
    let markdown = String::from_utf8(bench.read("table/compare.md")).unwrap();
    assert!(markdown.starts_with("### ") && markdown.contains("\n| method | worst group |"), "{markdown}");
    let html = String::from_utf8(bench.read("table/compare.html")).unwrap();
    assert!(html.contains("<table>") && !html.contains("<script") && !html.contains("NaN"));
}

#[test]
fn what_is_finished_is_taken_what_is_not_is_gone_on_with_and_what_is_damaged_is_done_again() {
    let bench = Workbench::new();
    let first = bench.run(COMPARE).success();
    assert!(first.stderr.contains("run 4 of 4"), "{}", first.stderr);
    let expected = figures(&bench);
    let model = bench.read("table/rwg-1/model.safetensors");

    let again = bench.run(COMPARE).success();
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("is finished").count(), 4, "{}", again.stderr);

    // Not finished, finished without a model that can be read, and finished with results that cannot be read.
    std::fs::remove_file(bench.file("table/rwg-1/results.json")).unwrap();
    std::fs::write(bench.file("table/erm-0/model.safetensors"), "cut short").unwrap();
    std::fs::write(bench.file("table/erm-1/results.json"), "{").unwrap();
    let repaired = bench.run(COMPARE).success();
    assert_eq!(repaired.stderr.matches("is finished").count(), 1, "{}", repaired.stderr);
    assert_eq!(repaired.stderr.matches("going on").count(), 1, "{}", repaired.stderr);
    assert_eq!(repaired.stderr.matches("damaged").count(), 2, "{}", repaired.stderr);
    assert_eq!(figures(&bench), expected);
    assert!(bench.read("table/rwg-1/model.safetensors") == model);

    // Other settings are another comparison.
    bench.run(&[COMPARE, &["--set", "rwg.batch_size=8"]].concat()).fails(2, &["rwg-0", "settings.batch_size", "8 now"]);
}

#[test]
fn a_grid_is_chosen_on_validation_and_keeps_every_trial() {
    let bench = Workbench::new();
    let arguments = ["digits", "--method", "rwg", "--limit", "200", "--out", "grid", "--set", "steps=6"];
    let grid = ["--set", "evaluate_every=2", "--grid", "batch_size=8,16", "--grid", "optimizer.learning_rate=0.01,0.1"];
    let outcome = bench.run(&[&arguments[..], &grid].concat()).success();
    let trials = bench.json("grid/trials.json");
    let trials = trials.as_array().unwrap();
    assert_eq!(trials.len(), 4);
    let chosen: Vec<&Value> = trials.iter().filter(|trial| trial["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    let key = |trial: &Value| (trial["value"].as_f64().unwrap(), trial["average_accuracy"].as_f64().unwrap());
    assert!(trials.iter().all(|trial| key(trial) <= key(chosen[0])));
    for trial in trials {
        let results = bench.json(&format!("grid/{}/results.json", trial["runs"][0].as_str().unwrap()));
        assert_eq!(results["selected"]["value"], trial["value"]);
        assert!(!trial.to_string().contains("test"), "{trial}");
    }
    let folder = chosen[0]["runs"][0].as_str().unwrap();
    assert!(outcome.stdout.contains(&format!("report: grid/{folder}/report.html")), "{}", outcome.stdout);
    bench.run(&["digits", "--grid", "temprature=1,2"]).fails(2, &["`temprature`", "did you mean `temperature`?"]);
    bench.run(&["digits", "--grid", "temperature"]).fails(2, &["--grid temperature", "key=value,value"]);
}

#[test]
fn settings_go_to_the_methods_that_have_them() {
    let bench = Workbench::new();
    let compare = ["compare", "digits", "--methods", "erm,jtt", "--limit", "100", "--out", "x"];
    bench.run(&[&compare[..], &["--set", "temprature=1"]].concat()).fails(2, &["temprature=1", "none of the methods"]);
    bench.run(&[&compare[..], &["--set", "cnc.steps=1"]].concat()).fails(2, &["cnc.steps=1", "none of the methods"]);
    bench.run(&["compare", "digits", "--methods", "erm,cnn"]).fails(2, &["`cnn`", "did you mean `cnc`?"]);
    // JTT's only, and checked before anything is trained.
    bench.run(&[&compare[..], &["--set", "upweight=0"]].concat()).fails(2, &["`upweight`", "at least 1"]);
    assert!(!bench.file("x").exists());
}

#[test]
fn a_signal_stops_a_comparison_and_the_same_command_goes_on() {
    let bench = Workbench::new();
    let child = bench.command(COMPARE).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !bench.file("table/rwg-0/config.toml").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "the second run did not start");
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    outcome.fails(130, &["interrupted", "go on with the same command"]);
    assert!(!outcome.stderr.contains("--resume"), "{}", outcome.stderr);
    let rest = bench.run(COMPARE).success();
    assert_eq!(rest.stderr.matches("is finished").count(), 1, "{}", rest.stderr);

    let uninterrupted = Workbench::new();
    let _ = uninterrupted.run(COMPARE).success();
    assert_eq!(figures(&bench), figures(&uninterrupted));
}
