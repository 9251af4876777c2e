//! Every command explains itself.

use std::process::Command;

#[test]
fn the_help_of_every_command_has_an_example() {
    for command in
        [&[][..], &["check"], &["compare"], &["datasets"], &["evaluate"], &["methods"], &["predict"], &["report"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_cnc-train")).args(command).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("cnc-train") && text.contains("Example"),
            "{command:?}: {text}"
        );
    }
}

#[test]
fn a_command_without_a_dataset_is_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_cnc-train")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
