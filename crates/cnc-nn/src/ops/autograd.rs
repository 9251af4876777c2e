//! How ops take part in Candle's autograd: not at all inside [`no_grad`], and with any number of arguments.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape,
    Storage, Tensor, bail,
};

use super::collect::collect;

thread_local! {
    static TRACKING: Cell<bool> = const { Cell::new(true) };
}

/// Runs `work` without recording what its ops do: results have no gradient, and what they were made from is freed as soon
/// as nobody else holds it. For evaluation and prediction: Candle otherwise keeps every intermediate result of a model
/// alive, as the weights of a model are variables.
///
/// It holds for the ops and layers of this crate, on the calling thread.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use cnc_nn::{no_grad, ops::relu::relu};
///
/// let x = Var::new(&[-1f32, 2.0], &Device::Cpu)?;
/// let y = no_grad(|| relu(&x))?;
/// assert!(y.backward()?.get(&x).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn no_grad<R>(work: impl FnOnce() -> R) -> R {
    /// Sets the old value again even if `work` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRACKING.set(self.0);
        }
    }
    let _restore = Restore(TRACKING.replace(false));
    work()
}

/// Whether ops are recorded on this thread.
pub(crate) fn tracking() -> bool {
    TRACKING.get()
}

pub(super) fn apply1(x: &Tensor, op: impl CustomOp1 + Send + Sync + 'static) -> Result<Tensor> {
    if tracking() { x.apply_op1(Collecting(op)) } else { x.apply_op1_no_bwd(&op) }
}

pub(super) fn apply3(x: &Tensor, y: &Tensor, z: &Tensor, op: impl CustomOp3 + Send + Sync + 'static) -> Result<Tensor> {
    if tracking() { x.apply_op3(y, z, Collecting(op)) } else { x.apply_op3_no_bwd(y, z, &op) }
}

/// An op whose gradients are [collected](collect) where somebody does so.
struct Collecting<Op>(Op);

impl<Op: CustomOp1> CustomOp1 for Collecting<Op> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.cpu_fwd(x, layout)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.cuda_fwd(x, layout)
    }

    fn metal_fwd(&self, x: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        self.0.metal_fwd(x, layout)
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        collect(x, self.0.bwd(x, result, gradient)?)
    }
}

impl<Op: CustomOp3> CustomOp3 for Collecting<Op> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        of_x: &Layout,
        y: &CpuStorage,
        of_y: &Layout,
        z: &CpuStorage,
        of_z: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.0.cpu_fwd(x, of_x, y, of_y, z, of_z)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        of_x: &Layout,
        y: &CudaStorage,
        of_y: &Layout,
        z: &CudaStorage,
        of_z: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.0.cuda_fwd(x, of_x, y, of_y, z, of_z)
    }

    fn metal_fwd(
        &self,
        x: &MetalStorage,
        of_x: &Layout,
        y: &MetalStorage,
        of_y: &Layout,
        z: &MetalStorage,
        of_z: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.0.metal_fwd(x, of_x, y, of_y, z, of_z)
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (of_x, of_y, of_z) = self.0.bwd(x, y, z, result, gradient)?;
        Ok((collect(x, of_x)?, collect(y, of_y)?, collect(z, of_z)?))
    }
}

/// The backward pass of a function of any number of tensors.
pub(crate) trait Backward: Send + Sync + 'static {
    /// Gradients of `arguments`, one each, for the `gradient` of the `result`; `None` where nobody asks for it.
    fn backward(&self, arguments: &[Tensor], result: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// What the forward pass has computed.
pub(crate) enum Computed {
    /// Values in row-major order, on the CPU.
    Values(Vec<f32>, Shape),
    /// A tensor on any device.
    Tensor(Tensor),
}

/// Makes the result of a function of `arguments` a tensor with a gradient.
///
/// Candle's custom ops have three arguments at most. Here the first argument goes to the op itself, and all others hang on
/// a chain of *carriers*: ops without values of their own that come after the function in the backward pass, and that
/// return the gradients which the function has left for them. So all gradients pass through Candle's own store, in
/// Candle's own order. Backward passes over one graph must come one after the other, as everywhere in Candle.
pub(crate) fn differentiable(
    name: &'static str,
    computed: Computed,
    arguments: Vec<Tensor>,
    backward: impl Backward,
) -> Result<Tensor> {
    let Some((first, others)) = arguments.split_first() else { bail!("{name}: a function of nothing") };
    if !tracking() || !arguments.iter().any(Tensor::track_op) {
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
    backward: Box<dyn Backward>,
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
        let mut gradients = self.backward.backward(&self.arguments, result, gradient)?;
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
