//! The values behind CPU tensors.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether all of `tensors` are `f32` on the CPU: what the kernels are for.
pub(crate) fn on_cpu_f32(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}

/// The values of contiguous `f32` storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel was given a tensor that is not contiguous: {:?}", layout.stride()),
    }
}

/// Calls `work` with the values of `tensors`, each contiguous, `f32` and on the CPU.
pub(super) fn with_values<'a, R>(
    tensors: impl IntoIterator<Item = &'a Tensor>,
    work: impl FnOnce(&[&[f32]]) -> Result<R>,
) -> Result<R> {
    let guards: Vec<_> = tensors.into_iter().map(Tensor::storage_and_layout).collect();
    let values = guards.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(storage) => slice(storage, layout),
        _ => bail!("a CPU kernel was given a tensor of another device"),
    });
    work(&values.collect::<Result<Vec<_>>>()?)
}

/// Gradients, where there are any and somebody asks for them, with the shapes of what they are the gradients of.
pub(super) fn tensors(
    gradients: impl IntoIterator<Item = Option<Vec<f32>>>,
    like: &[Tensor],
) -> Result<Vec<Option<Tensor>>> {
    let tensor = |(values, like): (Option<Vec<f32>>, &Tensor)| {
        values
            .filter(|_| like.track_op())
            .map(|values| Tensor::from_vec(values, like.shape(), like.device()))
            .transpose()
    };
    gradients.into_iter().zip(like).map(tensor).collect()
}
