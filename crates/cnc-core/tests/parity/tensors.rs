//! Tensors of losses, and how far they are from what they should be.

use std::error::Error;

use candle_core::{DType, Device, Tensor, Var};

use crate::reference::{Fixtures, apart};

/// Losses `(batch,)` of logits, labels and other labels.
pub type Loss = fn(&Tensor, &Tensor, &Tensor) -> cnc_core::Result<Tensor>;

/// Largest difference of two tensors, relative to the largest value expected.
pub fn distance(found: &Tensor, expected: &Tensor) -> Result<f64, Box<dyn Error>> {
    let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    Ok(apart(&numbers(found)?, &numbers(expected)?))
}

/// Losses of a batch.
pub fn losses(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).expect("a tensor")
}

/// That each of the named losses, and the gradient of its weighted sum, are PyTorch's in `sample.{name}`.
pub fn losses_and_gradients_equal(
    fixtures: &Fixtures,
    other: &Tensor,
    cases: &[(&str, Loss)],
) -> Result<(), Box<dyn Error>> {
    let (labels, weights) = (fixtures.get("sample.labels")?, fixtures.get("sample.weights")?);
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
        for (name, loss) in cases {
            let logits = Var::from_tensor(&fixtures.get("sample.logits")?.to_dtype(dtype)?)?;
            let found = loss(&logits, labels, other)?;
            let off = distance(&found, fixtures.get(&format!("sample.{name}.loss"))?)?;
            assert!(off < tolerance, "{name} in {dtype:?}: off by {off:e}");
            let gradients = (found * weights.to_dtype(dtype)?)?.sum_all()?.backward()?;
            let gradient = gradients.get(&logits).ok_or("no gradient")?;
            let off = distance(gradient, fixtures.get(&format!("sample.{name}.grad"))?)?;
            assert!(off < tolerance, "gradient of {name} in {dtype:?}: off by {off:e}");
        }
    }
    Ok(())
}
