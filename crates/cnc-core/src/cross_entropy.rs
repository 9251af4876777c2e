//! Cross-entropy from logits.
//!
//! `-log softmax(logits)[label] = logsumexp(logits) - logits[label]`, per sample for methods that weight or group the
//! samples, or as the mean over the batch. Composed of log-sum-exp and gather, whose gradients in Candle are exact.

use candle_core::{D, DType, Tensor};

use crate::error::{Error, Result};

/// Cross-entropy of each sample, `(batch,)`, from logits `(batch, classes)` and labels `(batch,)` of dtype u32.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit, [`Error::EmptyBatch`] when there are no samples, and, on the CPU,
/// [`Error::ClassOutOfRange`] naming the row of a label that is not a class. (On other devices labels are not read
/// back, so they are not checked: that would wait for the device in every step.)
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0f32, 0.0], [0.0, 3f32.ln()]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let losses = cnc_core::cross_entropy_per_sample(&logits, &labels)?.to_vec1::<f32>()?;
/// assert!((losses[0] - 2f32.ln()).abs() < 1e-6); // one of two
/// assert!((losses[1] - (4f32 / 3.0).ln()).abs() < 1e-6); // three quarters
/// # Ok(())
/// # }
/// ```
pub fn cross_entropy_per_sample(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let &[batch, classes] = logits.dims() else {
        let expected = "(batch, classes)".to_owned();
        return Err(Error::Shape { what: "logits", expected, found: logits.dims().to_vec() });
    };
    if labels.dims() != [batch] {
        let expected = format!("({batch},), one label a row of the logits");
        return Err(Error::Shape { what: "labels", expected, found: labels.dims().to_vec() });
    }
    if batch == 0 {
        return Err(Error::EmptyBatch);
    }
    if labels.device().is_cpu() {
        let values = labels.to_vec1::<u32>()?;
        if let Some((row, &value)) = values.iter().enumerate().find(|&(_, &label)| label as usize >= classes) {
            return Err(Error::ClassOutOfRange { row, column: "label", value, classes });
        }
    }
    let logits = match logits.dtype() {
        DType::F16 | DType::BF16 => logits.to_dtype(DType::F32)?,
        _ => logits.clone(),
    };
    let of_label = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?; // (batch,)
    Ok((logits.log_sum_exp(D::Minus1)? - of_label)?)
}

/// Mean cross-entropy of a batch, a scalar; arguments and errors as for [`cross_entropy_per_sample`].
///
/// # Errors
/// As for [`cross_entropy_per_sample`].
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(cross_entropy_per_sample(logits, labels)?.mean_all()?)
}
