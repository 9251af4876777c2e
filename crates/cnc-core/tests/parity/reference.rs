//! Reference values from Python, and how far results are from them.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

/// The tensors of one file of `tests/fixtures`.
pub struct Fixtures(HashMap<String, Tensor>);

impl Fixtures {
    /// Reads `tests/fixtures/{name}.safetensors`.
    pub fn load(name: &str) -> Result<Self, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        Ok(Self(candle_core::safetensors::load(folder.join(name).with_extension("safetensors"), &Device::Cpu)?))
    }

    /// One tensor.
    pub fn get(&self, name: &str) -> Result<&Tensor, Box<dyn Error>> {
        self.0.get(name).ok_or_else(|| format!("no fixture {name}").into())
    }

    /// The numbers of one tensor, in row-major order.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, Box<dyn Error>> {
        Ok(self.get(name)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// The same as 32-bit floats.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, Box<dyn Error>> {
        Ok(self.get(name)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
    }

    /// Labels, groups or rows.
    pub fn indices(&self, name: &str) -> Result<Vec<u32>, Box<dyn Error>> {
        Ok(self.get(name)?.flatten_all()?.to_vec1()?)
    }
}

/// Below this, a gradient is zero in f32: exponentials of -88 and less are.
const NOTHING: f64 = 1e-25;

/// Largest difference of two lists of numbers, relative to the largest value expected.
pub fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(NOTHING, |largest, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    differences.fold(0.0, |worst: f64, next| if next.is_nan() { f64::INFINITY } else { worst.max(next) }) / largest
}
