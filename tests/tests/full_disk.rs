//! A disk that fills up and a folder that cannot be written: the error names the file and its size, what was saved
//! before is still good, and a run that is resumed with room again ends in the same bits.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};

use cnc_tests::traces::{Traces, check_whole, unfinished};
use cnc_tests::{Outcome, Workbench};

const SETTINGS: &[&str] =
    &["digits", "--limit", "300", "--set", "stage1.epochs=2", "--set", "steps=6", "--set", "evaluate_every=2"];

fn arguments(more: &[&'static str]) -> Vec<&'static str> {
    [SETTINGS, &["--out", "run"], more].concat()
}

fn uninterrupted() -> Traces {
    let bench = Workbench::new();
    let _ = bench.run(&arguments(&[])).success();
    Traces::of(&bench.file("run"))
}

/// A run's folder with settings and nothing else, as a process leaves it that is killed when it starts.
fn started(bench: &Workbench) {
    let mut child = bench.command(&arguments(&[])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !bench.file("run/config.toml").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::create_dir_all(bench.file("run/checkpoint")).unwrap();
}

/// Check that a run without room failed as it should, and that it goes on to the same bits when there is room.
fn fails_and_goes_on(bench: &Workbench, outcome: &Outcome, file: &str, expected: &Traces) {
    outcome.fails(1, &[file, "bytes", "No space left on device", "--resume"]);
    assert_eq!(outcome.stderr.matches("No space left").count(), 1, "{}", outcome.stderr);
    let run = bench.file("run");
    assert!(!run.join("results.json").exists());
    check_whole(&run);
    assert!(!unfinished(&run).iter().any(|name| name.ends_with(".part")), "an unfinished file is left");
    let _ = bench.run(&arguments(&["--resume"])).success();
    assert_eq!(Traces::of(&run).differences(expected), Vec::<&str>::new(), "after no room for {file}");
    assert_eq!(unfinished(&run), Vec::<String>::new());
}

#[test]
fn a_disk_that_is_full_at_any_file_costs_no_more_than_the_steps_since_the_last_checkpoint() {
    let expected = uninterrupted();
    for file in [
        "checkpoint/best-next.safetensors",
        "checkpoint/last.safetensors",
        "checkpoint/stage-erm.safetensors",
        "checkpoint/stage-cnc.safetensors",
        "model.safetensors",
        "predictions.safetensors",
        "story.json",
        "report.html",
        "results.json",
    ] {
        let bench = Workbench::new();
        started(&bench);
        // A device that has no room: what is written to the file's unfinished form goes there.
        std::os::unix::fs::symlink("/dev/full", bench.file(&format!("run/{file}.part"))).unwrap();
        let outcome = bench.run(&arguments(&["--resume"]));
        fails_and_goes_on(&bench, &outcome, file, &expected);
    }
}

#[test]
fn a_log_without_room_is_named() {
    let expected = uninterrupted();
    for file in ["metrics.jsonl", "events.out.tfevents.cnc-train"] {
        let bench = Workbench::new();
        started(&bench);
        let path = bench.file(&format!("run/{file}"));
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let outcome = bench.run(&arguments(&["--resume"]));
        std::fs::remove_file(&path).unwrap();
        fails_and_goes_on(&bench, &outcome, file, &expected);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named_before_anything_is_trained() {
    let bench = Workbench::new();
    std::fs::write(bench.file("file"), "").unwrap();
    bench.run(&["digits", "--limit", "100", "--out", "file/run"]).fails(1, &["cannot make the run folder file/run"]);
}

/// A file system of its own, mounted at a folder; it goes when the test ends.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(folder: &'a Path, options: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder).output().unwrap();
        assert!(mount.status.success(), "this test mounts a file system: {}", String::from_utf8_lossy(&mount.stderr));
        Self(folder)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// The free space is another part of what a run needs each time, so that another write is the one that fails.
#[test]
#[ignore = "needs root, to mount: cargo test --release -p cnc-tests --test full_disk -- --ignored --nocapture"]
fn twenty_disks_of_20_mb_that_fill_up_at_different_moments() {
    let expected = uninterrupted();
    let bench = Workbench::new();
    let _ = bench.run(&arguments(&[])).success();
    let size = |folder: &Path| {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let needed = size(&bench.file("run")) + size(&bench.file("run/checkpoint"));
    for part in 0..20_u64 {
        let bench = Workbench::new();
        let disk = bench.file("run");
        let _mounted = Mounted::at(&disk, "size=20m");
        started(&bench);
        let free = needed * (2 * part + 1) / 40;
        let filler = disk.join("checkpoint/filler.part");
        std::fs::write(&filler, vec![0; (20 << 20) - free as usize]).unwrap();
        let outcome = bench.run(&arguments(&["--resume"]));
        outcome.fails(1, &["run/", "bytes", "No space left on device", "--resume"]);
        println!(
            "{free} of {needed} bytes free: {}",
            outcome.stderr.lines().find(|line| line.contains("error")).unwrap()
        );
        std::fs::remove_file(&filler).unwrap();
        check_whole(&disk);
        let saved = disk.join("checkpoint/last.safetensors").exists();
        let resumed = bench.run(&arguments(&["--resume"])).success();
        assert!(!saved || !resumed.stderr.contains("not a checkpoint"), "{}", resumed.stderr);
        assert_eq!(Traces::of(&disk).differences(&expected), Vec::<&str>::new(), "with {free} bytes free");
    }
}

#[test]
#[ignore = "needs root, to mount: cargo test --release -p cnc-tests --test full_disk -- --ignored --nocapture"]
fn a_read_only_folder_is_named_before_anything_is_trained() {
    let bench = Workbench::new();
    let folder = bench.file("read-only");
    let _mounted = Mounted::at(&folder, "ro");
    bench
        .run(&["digits", "--limit", "100", "--out", "read-only/run"])
        .fails(1, &["cannot make the run folder read-only/run", "Read-only file system"]);
}
