//! The numbers of CPU tensors, read and changed in place, in blocks that threads share.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::autograd::slice;

/// Numbers that one thread works on at a time: three or four arrays of it fit into a core's second-level cache.
const BLOCK: usize = 1 << 15;
/// Below this many numbers waking another thread takes longer than the work.
const PARALLEL_FROM: usize = 1 << 17;

/// Whether the kernels can work on it; other tensors take the composed path.
pub(super) fn are_here(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous()
}

/// Calls `change` with all arrays block by block. Which thread takes a block makes no difference to the result.
pub(super) fn each_block<const N: usize>(
    changed: [&mut [f32]; N],
    read: &[f32],
    change: impl Fn([&mut [f32]; N], &[f32]) + Sync,
) {
    if read.len() < PARALLEL_FROM {
        return change(changed, read);
    }
    let mut changed = changed.map(|numbers| numbers.chunks_mut(BLOCK));
    let blocks: Vec<_> = read
        .chunks(BLOCK)
        .map(|read| (changed.each_mut().map(|blocks| blocks.next().unwrap_or_default()), read))
        .collect();
    blocks.into_par_iter().for_each(|(changed, read)| change(changed, read));
}

/// Sum of the squares of all values, in f64 on the CPU. The blocks' sums are added in order, however many threads there
/// are.
pub(super) fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if !are_here(tensor) {
        return composed_sum_of_squares(tensor);
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a CPU tensor without CPU storage") };
    let values = slice(storage, layout)?;
    if values.len() < PARALLEL_FROM {
        return Ok(values.chunks(BLOCK).map(squares_of_block).sum());
    }
    let sums: Vec<f64> = values.par_chunks(BLOCK).map(squares_of_block).collect();
    Ok(sums.iter().sum())
}

/// In f32, as not every device has f64; divided by the largest value so that no square overflows.
fn composed_sum_of_squares(tensor: &Tensor) -> Result<f64> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?;
    if values.elem_count() == 0 {
        return Ok(0.0);
    }
    let largest = f64::from(values.abs()?.max(0)?.to_scalar::<f32>()?);
    let unit = if largest.is_normal() { largest } else { 1.0 };
    let sum = values.affine(1.0 / unit, 0.0)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
    Ok(f64::from(sum) * unit * unit)
}

fn squares_of_block(values: &[f32]) -> f64 {
    // Independent sums let the compiler use vector instructions; their number fixes the order of additions.
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (sum, value) in sums.iter_mut().zip(values) {
            let value = f64::from(*value);
            *sum += value * value;
        }
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value).powi(2)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Runs `change` on the numbers of `tensor`.
pub(super) fn change(tensor: &Tensor, change: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Change(Cell::new(Some(change))))
}

/// Runs `change` on the numbers of `tensor` and those of `other`. An error when both are the same memory.
pub(super) fn change_by(
    tensor: &Tensor,
    other: &Tensor,
    change: impl FnOnce(&mut [f32], &[f32]) -> Result<()>,
) -> Result<()> {
    tensor.inplace_op2(other, &Change(Cell::new(Some(change))))
}

/// A function in the shape of one of Candle's in-place ops, the one safe way to a tensor's memory. Runs once.
struct Change<F>(Cell<Option<F>>);

impl<F> Change<F> {
    const NAME: &'static str = "optimiser step";

    fn function(&self) -> Result<F> {
        match self.0.take() {
            Some(function) => Ok(function),
            None => bail!("{} was called twice", Self::NAME),
        }
    }
}

impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        self.function()?(numbers_mut(storage, layout)?)
    }
}

impl<F: FnOnce(&mut [f32], &[f32]) -> Result<()>> InplaceOp2 for Change<F> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, changed: &mut CpuStorage, l1: &Layout, read: &CpuStorage, l2: &Layout) -> Result<()> {
        self.function()?(numbers_mut(changed, l1)?, slice(read, l2)?)
    }
}

fn numbers_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) if end <= values.len() => Ok(&mut values[start..end]),
        _ => bail!("expected contiguous f32 values"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn ramp(count: usize) -> Tensor {
        let values: Vec<f32> = (0..count).map(|i| (i % 1000) as f32 / 1000.0 - 0.3).collect();
        Tensor::from_vec(values, count, &Device::Cpu).unwrap()
    }

    #[test]
    fn three_and_four_have_the_squares_of_five() {
        let tensor = Tensor::new(&[3f32, 4.0], &Device::Cpu).unwrap();
        assert_eq!(sum_of_squares(&tensor).unwrap(), 25.0);
        assert!((composed_sum_of_squares(&tensor).unwrap() - 25.0).abs() < 1e-5);
    }

    #[test]
    fn the_sum_is_the_same_for_any_number_of_threads_and_close_to_the_composed_one() {
        let tensor = ramp(PARALLEL_FROM + 12_345);
        let sum_with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of_squares(&tensor).unwrap())
        };
        assert_eq!(sum_with(1).to_bits(), sum_with(3).to_bits());
        assert!((composed_sum_of_squares(&tensor).unwrap() / sum_with(1) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn nan_and_infinity_stay_in_the_sum_and_large_values_do_not_become_infinite() {
        for (values, finite) in [([1f32, f32::NAN], false), ([0.0, f32::INFINITY], false), ([3e38, 1.0], true)] {
            let tensor = Tensor::new(&values, &Device::Cpu).unwrap();
            assert_eq!(sum_of_squares(&tensor).unwrap().is_finite(), finite);
            assert_eq!(composed_sum_of_squares(&tensor).unwrap().is_finite(), finite);
        }
    }

    #[test]
    fn blocks_cover_every_number_once() {
        for count in [0, 1, 10, PARALLEL_FROM, PARALLEL_FROM + 1, PARALLEL_FROM + BLOCK + 7] {
            let (mut first, mut second, read) = (vec![1.0; count], vec![2.0; count], vec![3.0; count]);
            each_block([&mut first, &mut second], &read, |[first, second], read| {
                for ((first, second), read) in first.iter_mut().zip(second).zip(read) {
                    *first += read;
                    *second -= read;
                }
            });
            assert!(first.iter().all(|v| *v == 4.0) && second.iter().all(|v| *v == -1.0));
        }
    }

    #[test]
    fn changing_a_tensor_by_itself_is_an_error_and_no_deadlock() {
        let tensor = ramp(3);
        assert!(change_by(&tensor, &tensor, |_, _| Ok(())).is_err());
    }
}
