//! A page from the files of a folder.

use std::path::Path;

use super::runs::{line, two_stages};
use crate::record::{FinishedRun, RecordError};
use crate::report::{RunView, render};

fn read(folder: &Path) -> Result<RunView, RecordError> {
    RunView::of(&FinishedRun::open(folder)?)
}

#[test]
fn a_folder_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = two_stages();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.toml", run.settings.to_string());
    write("results.json", serde_json::to_string(&run.results).unwrap());
    write("story.json", serde_json::to_string(run.story.as_ref().unwrap()).unwrap());
    let lines: Vec<String> = run.metrics.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    write("metrics.jsonl", lines.join("\n"));
    assert_eq!(render(&[read(folder.path()).unwrap()]), render(&[run]));
}

#[test]
fn a_damaged_folder_is_refused_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    assert!(matches!(read(folder.path()), Err(RecordError::Unfinished { .. })));
    write("results.json", &serde_json::to_string(&two_stages().results).unwrap());
    assert!(matches!(read(folder.path()), Err(RecordError::Read { path, .. }) if path.ends_with("config.toml")));
    write("config.toml", "seed = 1\nseed =\n");
    assert!(
        matches!(read(folder.path()), Err(RecordError::Content { path, line: 2, .. }) if path.ends_with("config.toml"))
    );
    write("config.toml", "seed = 1");
    let good = serde_json::to_string(&line("erm", 1.0, "val", Some(0.5))).unwrap();
    write("metrics.jsonl", &format!("{good}\n{}\n", &good[..20]));
    assert!(
        matches!(read(folder.path()), Err(RecordError::Content { path, line: 2, .. }) if path.ends_with("metrics.jsonl"))
    );
}
