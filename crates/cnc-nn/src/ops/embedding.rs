//! Rows of a table by their numbers.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::autograd::{apply, on_cpu_f32};
use crate::kernels::embedding::{backward, forward};
use crate::op_error::OpError;

const OP: &str = "embedding";

/// Row `ids[i]` of `weight`, shape `(count, width)`, for each `i`: `(ids, width)`.
///
/// The gradient is added up in the order of the ids; rows that no id names are not looked at.
///
/// # Errors
/// [`OpError::Index`] names the first id that is not below `count`.
pub fn embedding(weight: &Tensor, ids: &[u32]) -> Result<Tensor, OpError> {
    let &[count, width] = weight.dims() else {
        let expected = "(count, width)";
        return Err(OpError::Rank { op: OP, argument: "weight", expected, shape: weight.dims().to_vec() });
    };
    if let Some((place, index)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= count) {
        return Err(OpError::Index { op: OP, place, index: *index, count });
    }
    if !on_cpu_f32(&[weight]) {
        return composed(weight, ids);
    }
    let kept: Arc<[u32]> = ids.into();
    let forward = |[weight]: [&[f32]; 1]| (forward(weight, width, ids), kept);
    let size = [count, width];
    Ok(apply(OP, [weight], (ids.len(), width), forward, move |ids, pass| [Some(backward(pass.dy, size, ids))])?)
}

/// [`embedding`](crate::ops::embedding) in plain Candle ops.
///
/// # Errors
/// Those of Candle.
pub fn composed(weight: &Tensor, ids: &[u32]) -> Result<Tensor, OpError> {
    let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?.to_device(weight.device())?;
    Ok(weight.index_select(&ids, 0)?)
}
