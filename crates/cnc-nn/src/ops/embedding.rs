//! Rows of a table by their numbers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply1;
use super::blocks::for_each_chunk;
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "embedding";
/// Rows that one thread copies at a time.
const ROWS: usize = 64;

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
    Ok(apply1(&weight.contiguous()?, Embedding { ids: ids.into(), count, width })?)
}

/// [`embedding`] in plain Candle ops.
///
/// # Errors
/// Those of Candle.
pub fn composed(weight: &Tensor, ids: &[u32]) -> Result<Tensor, OpError> {
    let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?.to_device(weight.device())?;
    Ok(weight.index_select(&ids, 0)?)
}

struct Embedding {
    ids: Arc<[u32]>,
    count: usize,
    width: usize,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (weight, width) = (slice(storage, layout)?, self.width);
        let mut y = vec![0.0; self.ids.len() * width];
        let values = y.len();
        for_each_chunk(&mut y, ROWS * width, values, |i, rows| {
            for (row, id) in rows.chunks_exact_mut(width.max(1)).zip(&self.ids[i * ROWS..]) {
                row.copy_from_slice(&weight[*id as usize * width..][..width]);
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((self.ids.len(), width))))
    }

    fn bwd(&self, weight: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (gradient, width) = (gradient.contiguous()?, self.width);
        let dw = with_values([&gradient], |[dy]| {
            // Zeroed by the system where it can: only the rows that are named are touched.
            let mut dw = vec![0.0; self.count * width];
            for (id, dy) in self.ids.iter().zip(dy.chunks_exact(width.max(1))) {
                for (dw, dy) in dw[*id as usize * width..][..width].iter_mut().zip(dy) {
                    *dw += dy;
                }
            }
            Ok(dw)
        })?;
        Tensor::from_vec(dw, weight.shape(), weight.device()).map(Some)
    }
}
