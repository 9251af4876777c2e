//! A program of somebody else's, against the crates: it trains, is killed, goes on, evaluates and predicts.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::Workbench;

fn outside(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outside"));
    command.arg(folder);
    command
}

#[test]
fn a_program_with_its_own_rows_model_and_method_is_killed_and_ends_as_if_it_had_not_been() {
    let bench = Workbench::new();
    let whole = outside(&bench.file("whole")).output().unwrap();
    let said = String::from_utf8(whole.stdout).unwrap();
    assert!(whole.status.success(), "{said}{}", String::from_utf8_lossy(&whole.stderr));
    assert!(said.contains("begins after step 0\n"), "{said}");
    assert!(said.contains("class 0 is dark") && said.contains("class 1 is bright"), "{said}");

    let mut killed = outside(&bench.file("killed")).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !bench.file("killed/checkpoint/last.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!bench.file("killed/results.json").exists(), "it was over before it was killed");

    let resumed = outside(&bench.file("killed")).output().unwrap();
    let said = String::from_utf8(resumed.stdout).unwrap();
    assert!(resumed.status.success() && !said.contains("begins after step 0\n"), "{said}");
    assert!(bench.read("killed/model.safetensors") == bench.read("whole/model.safetensors"));
    assert_eq!(bench.json("killed/results.json")["method"], "hard");
}
