//! Every chore explains itself.

use std::process::Command;

#[test]
fn the_help_of_every_chore_has_an_example() {
    for chore in ["fetch", "digits"] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args([chore, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Example") && text.contains("cargo xtask"), "{chore}: {text}");
    }
}
