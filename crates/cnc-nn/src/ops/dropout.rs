//! Dropout: values set to zero at random, the others scaled up (Srivastava et al. 2014, the inverted form).

use candle_core::Tensor;

use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::dropout::Mask;
use crate::op_error::OpError;

const OP: &str = "dropout";

impl Mask {
    /// A mask that drops each value with `probability`; `None` for a probability of 0.
    ///
    /// # Errors
    /// [`OpError::Probability`] unless `0 <= probability < 1`.
    pub fn new(probability: f64, key: u64) -> Result<Option<Self>, OpError> {
        if !(0.0..1.0).contains(&probability) {
            return Err(OpError::Probability { op: OP, probability });
        }
        Ok(Self::drawn(probability, key))
    }
}

/// `x` of any shape, its values dropped by `mask`; the last dimension are the rows that a mask has keys for.
///
/// # Errors
/// Only those of Candle.
pub fn dropout(x: &Tensor, mask: Mask) -> Result<Tensor, OpError> {
    if !on_cpu_f32(&[x]) {
        return composed(x, mask);
    }
    let width = width(x);
    let forward = |[x]: [&[f32]; 1]| (mask.apply(x, width), ());
    Ok(apply(OP, [x], x.shape(), forward, move |(), pass| [Some(mask.apply(pass.dy, width))])?)
}

/// [`dropout`](crate::ops::dropout) in plain Candle ops, with the same mask.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, mask: Mask) -> Result<Tensor, OpError> {
    let width = width(x);
    let values = mask.values(x.elem_count() / width, width);
    let mask = Tensor::from_vec(values, x.shape(), x.device())?.to_dtype(x.dtype())?;
    Ok((x * mask)?)
}

fn width(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(1).max(1)
}
