//! The checkpoints of a run: anything, but a panic. The first byte says which file the others are in.
#![no_main]

mod file;

use candle_core::Device;
use cnc_train::checkpoint::Checkpoints;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let names = ["last", "best", "best-next", "stage-erm"];
    let name = names[usize::from(*which) % names.len()];
    file::write(&format!("{name}.safetensors"), bytes);
    let checkpoints = Checkpoints::new(file::folder());
    let _ = checkpoints.in_progress("erm", &Device::Cpu);
    let _ = checkpoints.finished("erm", &Device::Cpu);
});
