//! Every registered method on every kind of data: training, going on after it was killed, evaluation, results. A method is
//! covered here the moment it is registered.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::traces::{Traces, check_whole, unfinished};
use cnc_tests::{Outcome, Workbench, binary};
use toml::{Table, Value};

/// The names of the methods and of their stages, as `cnc-train methods` prints them.
fn methods(bench: &Workbench) -> Vec<(String, Vec<String>)> {
    let text = bench.run(&["methods"]).success().stdout;
    let mut methods = Vec::new();
    for line in text.lines() {
        if let Some(stages) = line.trim().strip_prefix("stages: ") {
            let (_, of): &mut (String, Vec<String>) = methods.last_mut().unwrap();
            *of = stages.split(", then ").map(str::to_owned).collect();
        } else if !line.starts_with(' ') {
            methods.push((line.split_whitespace().next().unwrap().to_owned(), Vec::new()));
        }
    }
    assert!(methods.len() > 10 && methods.iter().all(|(_, stages)| !stages.is_empty()), "{text}");
    methods
}

/// The general recipe's settings of a method, cut down to steps that take no time. Whatever is a length in another
/// method's recipe is cut down here as well: settings have the same names everywhere.
fn small_settings(method: &str) -> Table {
    let recipe: Table = include_str!("../../datasets/recipe.toml").parse().unwrap();
    let mut settings = recipe[method].as_table().unwrap().clone();
    cut_down(&mut settings);
    settings
}

fn cut_down(settings: &mut Table) {
    for (name, value) in settings {
        let small = match name.as_str() {
            "steps" => 8,
            "epochs" => 2,
            "evaluate_every" => 2,
            "batch_size" => 16,
            "per_part" | "batches_per_step" | "batches_per_encoding" | "members" | "draws" => 2,
            "environment_steps" => 50,
            _ => i64::MAX,
        };
        match value {
            Value::Integer(number) => *number = (*number).min(small),
            Value::Table(inner) => cut_down(inner),
            _ => {}
        }
    }
}

/// A run of a method in the folder `run`, with small settings from a file.
fn arguments<'a>(dataset: &'a str, method: &'a str, run: &'a str) -> Vec<&'a str> {
    vec![dataset, "--method", method, "--model", "lenet", "--limit", "60", "--config", "small.toml", "--out", run]
}

/// Kill a run as soon as it has a checkpoint, and go on.
fn killed_and_resumed(bench: &Workbench, arguments: &[&str], run: &str) {
    let mut child = bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let checkpoint = bench.file(run).join("checkpoint/last.safetensors");
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{} did not appear", checkpoint.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    check_whole(&bench.file(run));
    if !bench.file(run).join("results.json").exists() {
        let _ = bench.run(&[arguments, &["--resume"]].concat()).success();
    }
}

/// The figure that stands last in the row of a table.
fn last_figure(text: &str, row: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no `{row}` in:\n{text}"));
    line.split_whitespace().last().unwrap().to_owned()
}

/// Train, stop, go on, evaluate, with every method.
fn every_method_runs_on(bench: &Workbench, dataset: &str) {
    for (method, stages) in methods(bench) {
        let config = Table::from_iter([("settings".to_owned(), Value::Table(small_settings(&method)))]);
        std::fs::write(bench.file("small.toml"), config.to_string()).unwrap();
        let (whole, stopped) = (format!("{method}-whole"), format!("{method}-stopped"));
        let outcome = bench.run(&arguments(dataset, &method, &whole)).success();

        killed_and_resumed(bench, &arguments(dataset, &method, &stopped), &stopped);
        let (expected, found) = (Traces::of(&bench.file(&whole)), Traces::of(&bench.file(&stopped)));
        let differences = found.differences(&expected);
        assert!(differences.is_empty(), "{method}: a resumed run differs from an uninterrupted one in {differences:?}");
        assert_eq!(unfinished(&bench.file(&stopped)), Vec::<String>::new(), "{method}: unfinished files are left");

        let results = bench.json(&format!("{whole}/results.json"));
        assert_eq!(results["method"], method);
        assert!(results["label_budget"].as_str().is_some_and(|budget| budget.contains("group")), "{method}");
        let names: Vec<&str> =
            results["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names, stages, "{method}");
        assert_eq!(results["selected"]["stage"].as_str(), names.last().copied(), "{method}");
        for split in ["val", "test"] {
            let count = results[split]["count"].as_u64().unwrap();
            assert!(count > 0 && results[split]["average_accuracy"].as_f64().is_some(), "{method}: {split}");
            assert!(results[split]["worst_group_accuracy"].as_f64().is_some(), "{method}: {split}");
        }
        assert!(
            results["peak_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20) || !cfg!(target_os = "linux")
        );

        // What is saved predicts what was reported.
        let again = bench.run(&["evaluate", &whole]).success().stdout;
        for row in ["worst group", "average (plain)", "worst class"] {
            assert_eq!(last_figure(&outcome.stdout, row), last_figure(&again, row), "{method}: {row}");
        }
    }
}

#[test]
fn every_method_runs_on_images_of_two_classes() {
    let bench = Workbench::new();
    let synth = ["synth", "waterbirds", "--out", "birds", "--size", "120", "--side", "32"];
    let output = Command::new(binary("xtask")).args(synth).current_dir(bench.path()).output().unwrap();
    let _ = Outcome::of(output).success();
    every_method_runs_on(&bench, "birds/dataset.toml");
}

#[test]
fn every_method_runs_on_images_of_five_classes() {
    every_method_runs_on(&Workbench::new(), "digits");
}

/// The variants of methods that their recipes do not take by default.
#[test]
fn every_variant_runs() {
    let bench = Workbench::new();
    for (method, assignment) in [
        ("cnc", "slices=cross-fitted"),
        ("cnc", "slices=clusters"),
        ("cnc", "sides=one"),
        ("erm", "label_smoothing=0.1"),
        ("erm", "focal_gamma=2"),
        ("erm", "mixup_alpha=0.2"),
        ("erm", "class_weights=true"),
        ("subg", "fresh_subsets=true"),
        ("group-dro", "adjustment=1"),
        ("dfr", "penalty=l2"),
    ] {
        let config = Table::from_iter([("settings".to_owned(), Value::Table(small_settings(method)))]);
        std::fs::write(bench.file("small.toml"), config.to_string()).unwrap();
        let out = format!("{method}-{assignment}");
        let _ = bench.run(&[&arguments("digits", method, &out)[..], &["--set", assignment]].concat()).success();
        assert!(bench.json(&format!("{out}/results.json"))["test"]["average_accuracy"].as_f64().is_some(), "{out}");
    }
    bench
        .run(&["digits", "--method", "erm", "--set", "mixup_alpha=1", "--set", "focal_gamma=1"])
        .fails(2, &["`mixup_alpha`", "`focal_gamma`", "at most one"]);
}
