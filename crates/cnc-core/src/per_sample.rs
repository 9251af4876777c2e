//! Losses of single samples: read, and put together with weights.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// The values of `losses`, `(batch,)`, on the CPU.
pub(crate) fn values(losses: &Tensor) -> Result<Vec<f64>> {
    let &[batch] = losses.dims() else {
        let expected = "(batch,), one loss a sample".to_owned();
        return Err(Error::Shape { what: "losses", expected, found: losses.dims().to_vec() });
    };
    if batch == 0 {
        return Err(Error::EmptyBatch);
    }
    let values = losses.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    match values.iter().copied().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((row, value)) => Err(Error::NotFiniteRow { what: "the loss", row, value }),
        None => Ok(values),
    }
}

/// Σ weight · loss, a scalar that gradients flow back from to every loss. `weights` has one entry a loss.
pub(crate) fn weighted_sum(losses: &Tensor, weights: Vec<f64>) -> Result<Tensor> {
    let weights = Tensor::new(weights, &Device::Cpu)?.to_dtype(losses.dtype())?.to_device(losses.device())?;
    Ok((losses * weights)?.sum_all()?)
}
