//! Runs and data that were moved or copied, on machines with other cores: a run goes on to the same bits from wherever it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::traces::Traces;
use cnc_tests::{Outcome, Workbench};

/// Drawn birds in `w/drawn`.
fn birds() -> Workbench {
    let bench = Workbench::new();
    fs::create_dir(bench.file("w")).unwrap();
    bench.xtask(&["synth", "waterbirds", "--out", "w/drawn", "--size", "120", "--side", "32"]).success();
    bench
}

const SHORT: &[&str] =
    &["--model", "lenet", "--set", "stage1.epochs=2", "--set", "steps=40", "--set", "evaluate_every=4"];

fn arguments<'a>(dataset: &'a str, out: &'a str) -> Vec<&'a str> {
    [&[dataset, "--out", out], SHORT].concat()
}

/// Start a run and kill it, or interrupt it, once it has made a file.
fn stopped(bench: &Workbench, arguments: &[&str], file: &str, signal: &str) {
    let mut child = bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !bench.file(file).exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "{file} did not appear");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    assert!(!bench.file(file).parent().unwrap().join("results.json").exists(), "it was stopped too late");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)
        } else {
            _ = fs::copy(entry.path(), target).unwrap()
        }
    }
}

fn with_threads(bench: &Workbench, arguments: &[&str], threads: &str) -> Outcome {
    bench.run(&[arguments, &["--threads", threads]].concat()).success()
}

/// Every step of every stage stands once in the log, in order.
fn each_step_once(bench: &Workbench, run: &str) {
    let text = String::from_utf8(bench.read(&format!("{run}/metrics.jsonl"))).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut last: Option<(String, String, u64)> = None;
    let mut seen = std::collections::BTreeSet::new();
    for line in lines {
        let of = |key: &str| line[key].as_str().unwrap().to_owned();
        let now = (of("stage"), of("split"), line["step"].as_u64().unwrap());
        assert!(seen.insert(now.clone()), "{now:?} stands twice");
        if let Some(last) = last.filter(|last| last.0 == now.0) {
            assert!(last.2 <= now.2, "{now:?} after {last:?}");
        }
        last = Some(now);
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn a_run_that_was_moved_with_its_data_or_copied_goes_on_to_the_same_bits() {
    let bench = birds();
    with_threads(&bench, &arguments("w/drawn/dataset.toml", "whole"), "2");
    let expected = Traces::of(&bench.file("whole"));
    stopped(&bench, &arguments("w/drawn/dataset.toml", "w/r"), "w/r/checkpoint/last.safetensors", "-INT");
    // Absolute where it was relative, with other threads, and killed again.
    let absolute = bench.file("w/drawn/dataset.toml").display().to_string();
    let resumed = [&arguments(&absolute, "w/r")[..], &["--resume", "--threads", "1"]].concat();
    stopped(&bench, &resumed, "w/r/checkpoint/stage-erm.safetensors", "-KILL");
    fs::rename(bench.file("w"), bench.file("v")).unwrap();
    copy_folder(&bench.file("v/r"), &bench.file("copy"));
    for (out, threads) in [("v/r", "1"), ("copy", "2")] {
        let resumed = [&arguments("v/drawn/dataset.toml", out)[..], &["--resume"]].concat();
        with_threads(&bench, &resumed, threads);
        let differences = Traces::of(&bench.file(out)).differences(&expected);
        assert!(differences.is_empty(), "{out} differs in {differences:?}");
        each_step_once(&bench, out);
        let config = String::from_utf8(bench.read(&format!("{out}/config.toml"))).unwrap();
        assert!(config.contains("v/drawn/dataset.toml") && !config.contains("w/drawn"), "{config}");
    }
    // Other data in the place of the moved ones are told by what they are.
    let arguments = arguments("v/drawn/dataset.toml", "u");
    stopped(&bench, &arguments, "u/checkpoint/last.safetensors", "-KILL");
    let folder = fs::read_dir(bench.file("v/drawn/001.Landbird")).unwrap();
    let mut pictures: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    fs::copy(&pictures[0], &pictures[1]).unwrap();
    bench.run(&[&arguments[..], &["--resume"]].concat()).fails(2, &["other settings or data", "rows."]);
}

#[test]
fn a_text_run_goes_on_after_a_move_of_its_checkpoint_and_another_checkpoint_is_told() {
    let bench = cnc_tests::texts::comments("200");
    let run = |dataset: &'static str, init: &'static str| {
        let quick =
            ["--method", "erm", "--max-length", "40", "--set", "batch_size=8", "--set", "epochs=60", "--out", "run"];
        [&[dataset, "--init", init], &quick[..]].concat()
    };
    stopped(&bench, &run("comments/dataset.toml", "model"), "run/checkpoint/last.safetensors", "-KILL");
    fs::create_dir(bench.file("v")).unwrap();
    fs::rename(bench.file("comments"), bench.file("v/comments")).unwrap();
    fs::rename(bench.file("model"), bench.file("v/model")).unwrap();
    let moved = [&run("v/comments/dataset.toml", "v/model")[..], &["--resume"]].concat();
    stopped(&bench, &moved, "run/checkpoint/last.safetensors", "-KILL");
    // Another vocabulary makes other tokens of the same texts.
    let vocabulary = String::from_utf8(bench.read("v/model/vocab.txt")).unwrap();
    fs::write(bench.file("v/model/vocab.txt"), vocabulary.replace("\nthe\nof\n", "\nof\nthe\n")).unwrap();
    bench.run(&moved).fails(2, &["other settings or data", "rows.train"]);
}

#[test]
fn a_moved_run_is_evaluated_where_its_data_are_now() {
    let bench = birds();
    let run = ["w/drawn/dataset.toml", "--method", "erm", "--model", "lenet", "--set", "epochs=1", "--out", "w/r"];
    bench.run(&run).success();
    let before = bench.run(&["evaluate", "w/r"]).success().stdout;
    fs::rename(bench.file("w"), bench.file("v")).unwrap();
    bench.run(&["evaluate", "v/r"]).fails(1, &["w/drawn/dataset.toml", "--data DIR"]);
    let after = bench.run(&["evaluate", "v/r", "--data", "v/drawn"]).success();
    assert_eq!(after.stdout, before);
    assert!(!after.stderr.contains("warning"), "{}", after.stderr);
    // Other rows are told.
    let table = String::from_utf8(bench.read("v/drawn/metadata.csv")).unwrap();
    let row = table.lines().find(|line| line.contains(",0,2,0,")).unwrap();
    fs::write(bench.file("v/drawn/metadata.csv"), table.replace(row, &row.replace(",0,2,0,", ",1,2,0,"))).unwrap();
    let other = bench.run(&["evaluate", "v/r", "--data", "v/drawn"]).success();
    assert!(other.stderr.contains("the test split is not that of the run"), "{}", other.stderr);
}

#[test]
fn weights_are_known_by_their_checksum_and_revision() {
    use cnc_models::build;
    use sha2::{Digest, Sha256};
    let bench = Workbench::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let folder = bench.file("models--timm--lenet/snapshots").join(commit);
    fs::create_dir_all(&folder).unwrap();
    let weights = folder.join("model.safetensors");
    build("lenet", 5, 7, &candle_core::Device::Cpu).unwrap().parameters().save(&weights).unwrap();
    let sum: String = Sha256::digest(fs::read(&weights).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let init = weights.display().to_string();
    let short = ["digits", "--method", "erm", "--limit", "20", "--set", "epochs=1", "--out", "run", "--init", &init];
    bench.run(&short).success();
    let said = bench.json("run/results.json")["weights"].to_string();
    assert!(said.contains(&format!("their SHA-256 is {sum}, revision {commit}")), "{said}");
    assert!(String::from_utf8(bench.read("run/config.toml")).unwrap().contains(&format!("init_sha256 = \"{sum}\"")));
}
