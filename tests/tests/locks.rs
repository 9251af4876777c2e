//! Runs on a file system without locks, made by a library that answers the system's call before the system does.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cnc_tests::Workbench;

/// What file systems without locks answer: not supported there (NFS, Lustre), a broken mount, forbidden.
const ANSWERS: [&str; 3] = ["ENOLCK", "EIO", "EPERM"];

const RUN: [&str; 9] = ["digits", "--method", "erm", "--limit", "64", "--set", "steps=4", "--out", "run"];

/// The library, built for one answer.
fn without_locks(bench: &Workbench, answer: &str) -> PathBuf {
    let (source, library) = (bench.file("flock.c"), bench.file(&format!("{answer}.so")));
    let code = format!(
        "#include <errno.h>\nint flock(int fd, int how) {{ (void)fd; (void)how; errno = {answer}; return -1; }}\n"
    );
    std::fs::write(&source, code).unwrap();
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("the C compiler that the build needs, too").success());
    library
}

#[test]
fn a_run_without_locks_says_so_and_leaves_no_sign_behind() {
    for answer in ANSWERS {
        let bench = Workbench::new();
        let out = bench.command(&RUN).env("LD_PRELOAD", without_locks(&bench, answer)).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && said.contains("the file system has no locks"), "{answer}: {said}");
        assert!(bench.file("run/results.json").is_file());
        let left = std::fs::read_dir(bench.file("run")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().ends_with(".owner")), "{answer}");
    }
}

#[test]
fn two_runs_without_locks_do_not_write_into_one_folder() {
    let bench = Workbench::new();
    let library = without_locks(&bench, "ENOLCK");
    let long = [&RUN[..5], &["--set", "steps=100000", "--out", "run"]].concat();
    let mut first =
        bench.command(&long).env("LD_PRELOAD", &library).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !bench.file("run/config.toml").is_file() && start.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(50));
    }
    let resumed = [&long[..], &["--resume"]].concat();
    let second = bench.command(&resumed).env("LD_PRELOAD", &library).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("gave a sign of life"), "{said}");
}
