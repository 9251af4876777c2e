//! Cross-entropy from logits, and its variants: what every method trains with, and so in no method's room.
//!
//! `-log softmax(logits)[label] = logsumexp(logits) - logits[label]`, per sample for methods that weight or group the
//! samples, or as the mean over the batch. Composed of log-sum-exp and gather, whose gradients in Candle are exact.
//!
//! | variant | loss of a sample | source |
//! |---|---|---|
//! | [`smoothed_cross_entropy_per_sample`] | (1-ε)·CE + ε·(mean over all classes k of -log p_k) | Szegedy et al. 2016 (arXiv 1512.00567), section 7 |
//! | [`focal_loss_per_sample`] | (1-p_y)^γ · CE | Lin et al. 2017 (arXiv 1708.02002), equation 4 |
//! | [`mixed_cross_entropy_per_sample`] | λ·CE(y) + (1-λ)·CE(y') | mixup: Zhang et al. 2018 (arXiv 1710.09412) |

use candle_core::{D, DType, Device, Tensor};

use crate::error::{Error, Result};

/// Added to the logit of the label, this leaves the other classes only: its exponential is 0 in every dtype.
const OUT: f64 = -1e30;

/// Cross-entropy of each sample, `(batch,)`, from logits `(batch, classes)` and labels `(batch,)` of dtype u32, u8 or
/// i64 (which are converted, so u32 is the quickest).
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit, [`Error::LabelDtype`], [`Error::EmptyBatch`] when there are no samples, and, on the CPU,
/// [`Error::ClassOutOfRange`] naming the row of a label that is not a class. (On other devices labels are not read
/// back, so they are not checked: that would wait for the device in every step.)
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0f32, 0.0], [0.0, 3f32.ln()]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let losses = cnc_core::losses::cross_entropy_per_sample(&logits, &labels)?.to_vec1::<f32>()?;
/// assert!((losses[0] - 2f32.ln()).abs() < 1e-6); // one of two
/// assert!((losses[1] - (4f32 / 3.0).ln()).abs() < 1e-6); // three quarters
/// # Ok(())
/// # }
/// ```
pub fn cross_entropy_per_sample(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (logits, labels) = checked(logits, labels)?;
    let of_label = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?; // (batch,)
    Ok((logits.log_sum_exp(D::Minus1)? - of_label)?)
}

/// The logits, in a dtype to compute in, and the labels as u32, after a look at shapes and labels.
fn checked(logits: &Tensor, labels: &Tensor) -> Result<(Tensor, Tensor)> {
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
    let found = labels.dtype();
    if !matches!(found, DType::U32 | DType::U8 | DType::I64) {
        return Err(Error::LabelDtype { found });
    }
    if labels.device().is_cpu() {
        // As i64, so that a negative label is named as it is.
        let values = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        let is_class = |value: i64| usize::try_from(value).is_ok_and(|value| value < classes);
        if let Some((row, &value)) = values.iter().enumerate().find(|&(_, &value)| !is_class(value)) {
            return Err(Error::ClassOutOfRange { row, column: "label", value, classes });
        }
    }
    let logits = match logits.dtype() {
        DType::F16 | DType::BF16 => logits.to_dtype(DType::F32)?,
        _ => logits.clone(),
    };
    Ok((logits, labels.to_dtype(DType::U32)?))
}

/// Mean cross-entropy of a batch, a scalar; arguments and errors as for [`cross_entropy_per_sample`].
///
/// # Errors
/// As for [`cross_entropy_per_sample`].
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(cross_entropy_per_sample(logits, labels)?.mean_all()?)
}

/// Cross-entropy of each sample, `(batch,)`, with the share `smoothing` (ε) of the target spread over all classes.
///
/// # Errors
/// As for [`cross_entropy_per_sample`], and [`Error::Setting`] when `smoothing` is not in [0, 1].
pub fn smoothed_cross_entropy_per_sample(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let smoothing = share("smoothing", smoothing)?;
    let losses = cross_entropy_per_sample(logits, labels)?;
    let (logits, _) = checked(logits, labels)?;
    let of_all = (logits.log_sum_exp(D::Minus1)? - logits.mean(D::Minus1)?)?; // (batch,)
    Ok(((losses * (1.0 - smoothing))? + (of_all * smoothing)?)?)
}

/// Focal loss of each sample, `(batch,)`: cross-entropy times (1-p)^γ, where p is the likelihood of the label, so that
/// samples which are right already count less. `gamma` 0 is cross-entropy; the paper uses 2.
///
/// 1-p is the share of the other classes, `exp(logsumexp(others) - logsumexp(all))`: a difference from 1 would be lost
/// in rounding, and with it the gradient.
///
/// # Errors
/// As for [`cross_entropy_per_sample`], and [`Error::Setting`] when `gamma` is negative or not finite.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0f32, 3f32.ln()]], &Device::Cpu)?; // three quarters for class 1
/// let loss = cnc_core::losses::focal_loss_per_sample(&logits, &Tensor::new(&[1u32], &Device::Cpu)?, 2.0)?.to_vec1::<f32>()?;
/// assert!((loss[0] - (4f32 / 3.0).ln() / 16.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn focal_loss_per_sample(logits: &Tensor, labels: &Tensor, gamma: f64) -> Result<Tensor> {
    if !gamma.is_finite() || gamma < 0.0 {
        return Err(Error::Setting { option: "gamma", expected: "a finite number of at least 0", given: gamma });
    }
    let losses = cross_entropy_per_sample(logits, labels)?;
    let (logits, labels) = checked(logits, labels)?;
    let classes = u32::try_from(logits.dim(D::Minus1)?).unwrap_or(u32::MAX);
    let is_label = Tensor::arange(0, classes, logits.device())?.unsqueeze(0)?.broadcast_eq(&labels.unsqueeze(1)?)?;
    let others = (&logits + (is_label.to_dtype(logits.dtype())? * OUT)?)?; // (batch, classes)
    let log_share = (others.log_sum_exp(D::Minus1)? - logits.log_sum_exp(D::Minus1)?)?; // (batch,)
    Ok(((log_share * gamma)?.exp()? * losses)?)
}

/// Cross-entropy of each sample of a batch mixed with another one, `(batch,)`: inputs are λ·x + (1-λ)·x', and the loss
/// is `lambda` times that of `labels` and (1-λ) times that of `other_labels`.
///
/// # Errors
/// As for [`cross_entropy_per_sample`], and [`Error::Setting`] when `lambda` is not in [0, 1].
pub fn mixed_cross_entropy_per_sample(
    logits: &Tensor,
    labels: &Tensor,
    other_labels: &Tensor,
    lambda: f64,
) -> Result<Tensor> {
    let lambda = share("lambda", lambda)?;
    let of_labels = (cross_entropy_per_sample(logits, labels)? * lambda)?;
    let of_others = (cross_entropy_per_sample(logits, other_labels)? * (1.0 - lambda))?;
    Ok((of_labels + of_others)?)
}

/// Σ weight·loss / Σ weight, a scalar, of losses `(batch,)`; with the weights of classes this is PyTorch's
/// `cross_entropy(..., weight=...)`.
///
/// # Errors
/// [`Error::Shape`], [`Error::EmptyBatch`], [`Error::NotFiniteRow`] for a loss that is NaN or infinite,
/// [`Error::Lengths`] when there is not one weight a loss, and [`Error::Setting`] when the weights are not of at least 0
/// with a finite sum above 0.
pub fn weighted_mean(losses: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let (left, right) = (values(losses)?.len(), weights.len());
    if left != right {
        return Err(Error::Lengths { left_name: "losses", left, right_name: "weights", right });
    }
    if let Some(&given) = weights.iter().find(|weight| weight.is_nan() || **weight < 0.0) {
        return Err(Error::Setting { option: "weight of a loss", expected: "at least 0", given });
    }
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 || !sum.is_finite() {
        let expected = "a finite number above 0";
        return Err(Error::Setting { option: "sum of the weights of the losses", expected, given: sum });
    }
    weighted_sum(losses, weights.iter().map(|weight| weight / sum).collect())
}

fn share(option: &'static str, given: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&given) { Ok(given) } else { Err(Error::Setting { option, expected: "in [0, 1]", given }) }
}

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
