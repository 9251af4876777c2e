//! Weights, images and rows of results, as `make_resnet_fixtures.py` makes them.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use cnc_models::{Inputs, Model};

use crate::common::noise;

/// Values of a row at even distances.
const SAMPLES: usize = 12;

/// The first value of a variable.
fn formula(salt: u64, name: &str, tensor: &Tensor) -> Tensor {
    let shape = tensor.dims();
    if name.ends_with("num_batches_tracked") {
        return tensor.zeros_like().unwrap();
    }
    if shape.len() > 1 {
        let fan_in: usize = shape[1..].iter().product();
        return noise(salt, shape, (3.0 / fan_in as f64).sqrt());
    }
    if name.ends_with("running_var") || name.ends_with("weight") {
        return (noise(salt, shape, 0.25) + 1.0).unwrap();
    }
    if name.ends_with("running_mean") || name == "fc.bias" {
        return noise(salt, shape, 0.1);
    }
    let shift: Vec<f32> = (0..shape[0]).map(|channel| if channel % 16 == 0 { 0.0 } else { 3.0 }).collect();
    (noise(salt, shape, 0.1) + Tensor::new(shift, tensor.device()).unwrap()).unwrap()
}

/// Sets all variables of a model.
pub fn set(model: &dyn Model) {
    let named = model.parameters().named().unwrap();
    let values =
        named.iter().enumerate().map(|(salt, (name, value))| (name.clone(), formula(salt as u64, name, value)));
    model.parameters().load(&values.collect()).unwrap();
}

/// Square images of 64 pixels a side.
pub fn images(salt: u64, batch: usize) -> Inputs {
    Inputs::Images(noise(salt, &[batch, 3, 64, 64], 1.0))
}

/// Of a tensor its norm, its largest value, its product with a vector of the hash, and values at even distances.
fn row(salt: u64, tensor: &Tensor) -> Vec<f64> {
    let values: Vec<f64> = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let weights: Vec<f32> = noise(salt, &[values.len()], 1.0).to_vec1().unwrap();
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let largest = values.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    let product = values.iter().zip(weights).map(|(value, weight)| value * f64::from(weight)).sum();
    let samples = (0..SAMPLES).map(|i| values[i * (values.len() - 1) / (SAMPLES - 1)]);
    [norm, largest, product].into_iter().chain(samples).collect()
}

/// Compares a tensor with a row of PyTorch's: norm and product relative to the norm, values to the largest one.
pub fn assert_row(what: &str, salt: u64, ours: &Tensor, pytorch: &[f32], tolerance: f64) {
    let ours = row(salt, ours);
    assert_eq!(ours.len(), pytorch.len(), "{what}");
    let (norm, largest) = (f64::from(pytorch[0]), f64::from(pytorch[1]));
    for (index, (our, theirs)) in ours.iter().zip(pytorch).enumerate() {
        let scale = if matches!(index, 0 | 2) { norm } else { largest };
        let difference = (our - f64::from(*theirs)).abs() / scale;
        assert!(difference <= tolerance, "{what}[{index}]: {our}, PyTorch has {theirs}, {difference:e} relative");
    }
}

/// [`assert_row`] of all tensors in the order of their names.
pub fn assert_rows(what: &str, ours: &BTreeMap<String, Tensor>, pytorch: &Tensor, tolerance: f64) {
    let pytorch: Vec<Vec<f32>> = pytorch.to_vec2().unwrap();
    assert_eq!(ours.len(), pytorch.len(), "{what}");
    for (salt, ((name, ours), pytorch)) in ours.iter().zip(&pytorch).enumerate() {
        assert_row(&format!("{what}: {name}"), salt as u64, ours, pytorch, tolerance);
    }
}

/// Running means and variances.
pub fn statistics(model: &dyn Model) -> BTreeMap<String, Tensor> {
    let mut named = model.parameters().named().unwrap();
    named.retain(|name, _| name.ends_with("running_mean") || name.ends_with("running_var"));
    named
}
