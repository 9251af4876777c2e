//! A run that was stopped at any moment and resumed ends in the same bits as one that never was.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::traces::{Traces, check_whole, unfinished};
use cnc_tests::{Outcome, SHORT_RUN as RUN, Workbench};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn traces(bench: &Workbench) -> Traces {
    Traces::of(&bench.file("run"))
}

fn assert_same(bench: &Workbench, expected: &Traces) {
    let differences = traces(bench).differences(expected);
    assert!(differences.is_empty(), "a resumed run differs from an uninterrupted one in {differences:?}");
    assert_eq!(unfinished(&bench.file("run")), Vec::<String>::new(), "unfinished files are left");
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
        check_whole(&bench.file("run"));
        if bench.file("run/results.json").exists() {
            break;
        }
    }
    if !bench.file("run/results.json").exists() {
        let _ = bench.run(&[RUN, &["--resume"]].concat()).success();
    }
    assert_same(&bench, &expected);
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
    outcome.fails(130, &["interrupted", "--resume"]);
    assert!(!bench.file("run/results.json").exists());
    let _ = bench.run(&[RUN, &["--resume"]].concat()).success();
    assert_same(&bench, &expected);
}

/// Every third run is killed while it writes a file: as soon as an unfinished one is seen after a random moment. The
/// others are killed at a random moment. `CNC_KILLS` is how many runs there are, `CNC_SEED` chooses the moments.
#[test]
#[ignore = "takes minutes: cargo test --release -p cnc-tests --test resume -- --ignored --nocapture"]
fn runs_killed_at_fifty_random_moments_end_in_the_same_bits() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (kills, mut moments) =
        (number("CNC_KILLS").unwrap_or(50), ChaCha8Rng::seed_from_u64(number("CNC_SEED").unwrap_or(0)));
    let (expected, whole) = uninterrupted();
    let (mut stages, mut while_saving) = ([0, 0, 0], 0);
    for kill in 0..kills {
        let bench = Workbench::new();
        let mut child = bench.command(RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moment = whole.mul_f64(moments.random());
        let start = Instant::now();
        let run = bench.file("run");
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > moment && (kill % 3 > 0 || !unfinished(&run).is_empty()) {
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check_whole(&run);
        while_saving += usize::from(!unfinished(&run).is_empty());
        let finished = run.join("results.json").exists();
        stages[if finished { 2 } else { usize::from(run.join("checkpoint/stage-erm.safetensors").exists()) }] += 1;
        if !finished {
            let resume: &[&str] = if run.join("config.toml").exists() { &["--resume"] } else { &[] };
            let _ = bench.run(&[RUN, resume].concat()).success();
        }
        assert_same(&bench, &expected);
    }
    let [first, second, ended] = stages;
    println!(
        "{kills} of {kills} in the same bits: killed {first} in the first stage, {second} later, {ended} at the very end; {while_saving} left an unfinished file"
    );
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
    bench.run(&other).fails(2, &["seed: 0 then, 7 now", "settings.temperature: 0.1 then, 0.5 now"]);
    let less: Vec<&str> = RUN.iter().map(|argument| if *argument == "400" { "300" } else { *argument }).collect();
    let outcome = bench.run(&[&less[..], &["--resume"]].concat());
    outcome.fails(2, &["limit: 400 then, 300 now", "rows.train: \"400 rows, ", "then, \"300 rows, "]);
    bench.run(&["digits", "--resume", "--out", "nowhere"]).fails(1, &["nowhere", "no run to resume"]);
}

#[test]
fn a_run_is_not_gone_on_with_on_other_data() {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "60", "--side", "32"]).success();
    let run = ["birds/dataset.toml", "--method", "erm", "--model", "lenet", "--set", "epochs=500", "--out", "run"];
    let mut child = bench.command(&run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&bench, "run/checkpoint/last.safetensors");
    // Nobody else trains in the folder meanwhile.
    bench.run(&[&run[..], &["--resume"]].concat()).fails(1, &["run is in use", "--out DIR"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // The same number of rows, one of them of the other class.
    let table = String::from_utf8(bench.read("birds/metadata.csv")).unwrap();
    let row = table.lines().find(|line| line.contains(",0,0,0,")).unwrap();
    let other = table.replace(row, &row.replace(",0,0,0,", ",1,0,0,"));
    std::fs::write(bench.file("birds/metadata.csv"), other).unwrap();
    bench.run(&[&run[..], &["--resume"]].concat()).fails(2, &["other settings or data", "rows.train", "60 rows"]);
}
