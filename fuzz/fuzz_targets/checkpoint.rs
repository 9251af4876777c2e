//! The checkpoints of a run: anything, but a panic. The first byte says which file the others are in.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let names = ["last", "best", "best-next", "stage-erm"];
    let name = names[usize::from(*which) % names.len()];
    file::write(&format!("{name}.safetensors"), bytes);
    cnc_train::fuzzing::checkpoints(&file::folder());
});
