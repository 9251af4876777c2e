//! The record of a function in Candle's graph, whatever the number of its arguments.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape, Storage, Tensor,
    bail,
};

use super::collect::collect;
use super::context::with_context;

/// The backward pass of a function: the gradients of its arguments, one each, given the arguments, the result and the
/// result's gradient; `None` where nobody asks for it.
type Backward = dyn Fn(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// What the forward pass has computed.
pub(super) enum Computed {
    /// Values in row-major order, on the CPU.
    Values(Vec<f32>, Shape),
    /// A tensor on any device.
    Tensor(Tensor),
}

/// Whether a function of these arguments is recorded: ops are, and somebody asks for the gradient of an argument.
pub(crate) fn is_recorded<'a>(arguments: impl IntoIterator<Item = &'a Tensor>) -> bool {
    !with_context(|context| context.untracked) && arguments.into_iter().any(Tensor::track_op)
}

/// Makes the result of a function of `arguments` a tensor with a gradient.
///
/// Candle's custom ops have three arguments at most. Here the first argument goes to the op itself, and all others hang on
/// a chain of *carriers*: ops without values of their own that come after the function in the backward pass, and that
/// return the gradients which the function has left for them. So all gradients pass through Candle's own store, in
/// Candle's own order. Backward passes over one graph must come one after the other, as everywhere in Candle.
pub(super) fn record(
    name: &'static str,
    computed: Computed,
    arguments: Vec<Tensor>,
    backward: impl Fn(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let Some((first, others)) = arguments.split_first() else { bail!("{name}: a function of nothing") };
    if !is_recorded(&arguments) {
        return match computed {
            Computed::Values(values, shape) => Tensor::from_vec(values, shape, first.device()),
            Computed::Tensor(tensor) => Ok(tensor.detach()),
        };
    }
    let left = Arc::new(Left(Mutex::new(Vec::new())));
    let nothing = Tensor::zeros(1, DType::F32, first.device())?;
    let mut chain = nothing.clone();
    for (i, pair) in others.chunks(2).enumerate().rev() {
        let (one, other) = (&pair[0], pair.get(1).unwrap_or(&nothing));
        chain = one.apply_op3(other, &chain, Carrier { left: left.clone(), at: 1 + 2 * i })?;
    }
    let first = first.clone();
    let computed = Mutex::new(Some(computed));
    first.apply_op2(&chain, Function { name, computed, arguments, left, backward: Box::new(backward) })
}

/// Gradients on their way from the function to the carriers.
struct Left(Mutex<Vec<Option<Tensor>>>);

impl Left {
    fn put(&self, gradients: Vec<Option<Tensor>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
    }

    fn take(&self, at: usize) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at).and_then(Option::take)
    }
}

/// Arguments: the first argument of the function, and the chain of the others.
struct Function {
    name: &'static str,
    /// Until the op is recorded.
    computed: Mutex<Option<Computed>>,
    arguments: Vec<Tensor>,
    left: Arc<Left>,
    backward: Box<Backward>,
}

impl Function {
    fn computed(&self) -> Result<Computed> {
        match self.computed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(computed) => Ok(computed),
            None => bail!("{}: recorded twice", self.name),
        }
    }

    /// The result as a tensor whose storage holds it and nothing else before it.
    fn tensor(&self) -> Result<Tensor> {
        match self.computed()? {
            Computed::Values(values, shape) => Tensor::from_vec(values, shape, &Device::Cpu),
            Computed::Tensor(tensor) => tensor.force_contiguous(),
        }
    }
}

impl CustomOp2 for Function {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let tensor = match self.computed()? {
            Computed::Values(values, shape) => return Ok((CpuStorage::F32(values), shape)),
            Computed::Tensor(tensor) => tensor.force_contiguous()?,
        };
        match &*tensor.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.try_clone(tensor.layout())?, tensor.shape().clone())),
            _ => bail!("{}: the result is on another device than the first argument", self.name),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let tensor = self.tensor()?;
        match &*tensor.storage_and_layout().0 {
            Storage::Cuda(storage) => Ok((storage.try_clone(tensor.layout())?, tensor.shape().clone())),
            _ => bail!("{}: the result is on another device than the first argument", self.name),
        }
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        let tensor = self.tensor()?;
        match &*tensor.storage_and_layout().0 {
            Storage::Metal(storage) => Ok((storage.try_clone(tensor.layout())?, tensor.shape().clone())),
            _ => bail!("{}: the result is on another device than the first argument", self.name),
        }
    }

    fn bwd(
        &self,
        first: &Tensor,
        chain: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = (self.backward)(&self.arguments, result, gradient)?;
        let of_first = gradients.first_mut().and_then(Option::take);
        self.left.put(gradients);
        // The chain has no value: its gradient only makes Candle visit the carriers.
        Ok((collect(first, of_first)?, chain.track_op().then(|| chain.zeros_like()).transpose()?))
    }
}

/// Arguments: two of the function's, and the rest of the chain.
struct Carrier {
    left: Arc<Left>,
    /// Place of the first of the two among the arguments of the function.
    at: usize,
}

impl CustomOp3 for Carrier {
    fn name(&self) -> &'static str {
        "carrier of gradients"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        rest: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((rest.try_clone(layout)?, Shape::from(1)))
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        rest: &MetalStorage,
        layout: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        Ok((rest.try_clone(layout)?, Shape::from(1)))
    }

    fn bwd(
        &self,
        one: &Tensor,
        other: &Tensor,
        rest: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let rest = rest.track_op().then(|| rest.zeros_like()).transpose()?;
        let (of_one, of_other) = (self.left.take(self.at), self.left.take(self.at + 1));
        Ok((collect(one, of_one)?, collect(other, of_other)?, rest))
    }
}
