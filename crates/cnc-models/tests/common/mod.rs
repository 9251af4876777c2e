//! What the PyTorch scripts in `fixtures/` and the tests share.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

/// The hash of the scripts: values in `[-scale, scale)`.
pub fn noise(salt: u64, shape: &[usize], scale: f64) -> Tensor {
    let value = |position: u64| {
        let mut h = (position + salt * 1_000_003) & 0xffff_ffff;
        for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35)] {
            h ^= h >> shift;
            h = (h * factor) & 0xffff_ffff;
        }
        h ^= h >> 16;
        ((h as f64 / 2f64.powi(31) - 1.0) * scale) as f32
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// What a script has written.
pub fn fixture(name: &str) -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"));
    cnc_nn::files::read(&path, &Device::Cpu).unwrap()
}
