//! A run that was stopped at any moment and resumed ends in the same bits as one that never was.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::{Outcome, Workbench};

const RUN: &[&str] = &[
    "digits",
    "--limit",
    "400",
    "--out",
    "run",
    "--set",
    "stage1.epochs=2",
    "--set",
    "steps=12",
    "--set",
    "evaluate_every=3",
];

/// Everything of a finished run that must not depend on how often it was stopped.
#[derive(PartialEq)]
struct Traces {
    model: Vec<u8>,
    metrics: Vec<u8>,
    report: String,
    results: serde_json::Value,
}

fn traces(bench: &Workbench) -> Traces {
    let mut results = bench.json("run/results.json");
    forget_durations(&mut results);
    Traces {
        model: bench.read("run/model.safetensors"),
        metrics: bench.read("run/metrics.jsonl"),
        report: String::from_utf8(bench.read("run/story.json")).unwrap(),
        results,
    }
}

fn forget_durations(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.remove("duration_s");
            fields.values_mut().for_each(forget_durations);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(forget_durations),
        _ => {}
    }
}

/// Wait until a run has made a file; a run that cannot is stopped by the test's own failure.
fn wait_for(bench: &Workbench, name: &str) {
    let start = Instant::now();
    while !bench.file(name).exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{name} did not appear");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn uninterrupted() -> (Traces, Duration) {
    let bench = Workbench::new();
    let start = Instant::now();
    let _ = bench.run(RUN).success();
    (traces(&bench), start.elapsed())
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_in_the_same_bits() {
    let (expected, whole) = uninterrupted();
    let bench = Workbench::new();
    // Moments spread over the whole run, the same ones in every test run: i · golden ratio mod 1.
    for moment in (1..=8).map(|i| (f64::from(i) * 0.618_034).fract()) {
        let resume: &[&str] = if bench.file("run/config.toml").exists() { &["--resume"] } else { &[] };
        let mut child =
            bench.command(&[RUN, resume].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(moment * 0.7));
        child.kill().unwrap();
        child.wait().unwrap();
        if bench.file("run/results.json").exists() {
            break;
        }
    }
    if !bench.file("run/results.json").exists() {
        let _ = bench.run(&[RUN, &["--resume"]].concat()).success();
    }
    assert!(traces(&bench) == expected, "a resumed run differs from an uninterrupted one");
    let names =
        std::fs::read_dir(bench.file("run")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.ends_with(".part")).collect();
    assert!(left.is_empty(), "temporary files are left: {left:?}");
}

#[test]
fn a_signal_saves_the_run_and_says_how_to_go_on() {
    let (expected, _) = uninterrupted();
    let bench = Workbench::new();
    let child = bench.command(RUN).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&bench, "run/metrics.jsonl");
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    if outcome.code != Some(0) {
        outcome.fails(130, &["interrupted", "--resume"]);
        assert!(!bench.file("run/results.json").exists());
        let _ = bench.run(&[RUN, &["--resume"]].concat()).success();
    }
    assert!(traces(&bench) == expected, "an interrupted run differs from an uninterrupted one");
}

#[test]
fn other_settings_are_refused_and_each_that_differs_is_named() {
    let bench = Workbench::new();
    let mut child = bench.command(RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&bench, "run/config.toml");
    child.kill().unwrap();
    child.wait().unwrap();
    bench.run(RUN).fails(1, &["not finished", "--resume"]);
    let other = [RUN, &["--resume", "--seed", "7", "--set", "temperature=0.5"]].concat();
    bench.run(&other).fails(2, &["seed: 0 then, 7 now", "settings.temperature: 0.05 then, 0.5 now"]);
    bench.run(&["digits", "--resume", "--out", "nowhere"]).fails(1, &["nowhere", "no run to resume"]);
}
