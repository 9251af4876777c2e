//! The examples of README.md, which run as documentation tests, need no other dependency than this crate.

#[test]
fn the_examples_import_from_this_crate_alone() {
    let imports: Vec<&str> = include_str!("../README.md").lines().filter(|line| line.starts_with("use ")).collect();
    assert!(imports.len() > 5 && imports.iter().all(|import| import.starts_with("use cnc_core::")), "{imports:?}");
}
