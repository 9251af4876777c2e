//! Weights in a safetensors file or one of PyTorch's: anything, but a panic. What passes is exactly the model's, and finite.
#![no_main]

mod file;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file::write("model.safetensors", bytes);
    let model = cnc_models::build("lenet", 2, 0, &Device::Cpu).expect("a small model");
    let _ = cnc_models::weights::load(&*model, &path);
});
