//! Rows of a table by their numbers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply1;
use super::blocks::written_by_chunks;
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
        let len = self.ids.len() * width;
        let y = written_by_chunks(len, ROWS * width, len, |i, rows| {
            for (row, id) in rows.chunks_exact_mut(width.max(1)).zip(&self.ids[i * ROWS..]) {
                row.copy_from_slice(&weight[*id as usize * width..][..width]);
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((self.ids.len(), width))))
    }

    fn bwd(&self, weight: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (gradient, width) = (gradient.contiguous()?, self.width);
        let dw = with_values([&gradient], |[dy]| {
            // The places of each id side by side, in their order.
            let mut places: Vec<usize> = (0..self.ids.len()).collect();
            places.sort_by_key(|place| self.ids[*place]);
            let len = self.count * width;
            Ok(written_by_chunks(len, ROWS * width, len, |i, rows| {
                let ids = i * ROWS..(i + 1) * ROWS;
                let first = places.partition_point(|place| (self.ids[*place] as usize) < ids.start);
                for place in &places[first..] {
                    let id = self.ids[*place] as usize;
                    if id >= ids.end {
                        break;
                    }
                    let dw = &mut rows[(id - ids.start) * width..][..width];
                    for (dw, dy) in dw.iter_mut().zip(&dy[place * width..][..width]) {
                        *dw += dy;
                    }
                }
            }))
        })?;
        Tensor::from_vec(dw, weight.shape(), weight.device()).map(Some)
    }
}
