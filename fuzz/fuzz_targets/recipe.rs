//! `recipe.toml` and `--set`: anything, but a panic. The first line is a setting, the rest a recipe that is laid over
//! the general one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (assignment, own) = text.split_once('\n').unwrap_or((text, ""));
    cnc_train::fuzzing::settings(assignment, own);
});
