//! How far tensors are from each other.

use std::error::Error;

use candle_core::{DType, Tensor};

use crate::common::apart;

/// Largest difference of two tensors, relative to the largest value expected.
pub fn distance(found: &Tensor, expected: &Tensor) -> Result<f64, Box<dyn Error>> {
    let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    Ok(apart(&numbers(found)?, &numbers(expected)?))
}
