//! The variables of a model: named, sorted, seeded, savable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use cnc_base::seeds::of_parameter;

use crate::error::{Error, Mismatch, Misshapen, Result};
use crate::{files, init};

/// Last part of the names of what a model stores but does not learn: batch norm's running statistics.
const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// The variables of a model, by name and in the order of their names.
///
/// It stands where Candle has a `VarMap`, which draws initial values from a generator that cannot be seeded and
/// iterates in another order each time. Here the values of a new variable depend on the seed and on the variable's
/// own full name, on nothing else. A clone is another handle to the same variables.
///
/// ```
/// use candle_core::Device;
/// use cnc_nn::{Parameters, layers::Linear};
///
/// let parameters = Parameters::new(0, &Device::Cpu);
/// let head = Linear::new(84, 5, parameters.builder().pp("head"))?;
/// let names: Vec<String> = parameters.trainable().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["head.bias", "head.weight"]);
/// # Ok::<(), cnc_nn::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameters {
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    device: Device,
    variables: Mutex<BTreeMap<String, Var>>,
}

impl Parameters {
    /// No variables yet; those that come will be drawn under `seed` and live on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { shared: Arc::new(Shared { seed, device: device.clone(), variables: Mutex::default() }) }
    }

    /// Where layers get their variables (f32). Asking twice for one name gives the same variable; asking with another
    /// shape is an error.
    #[must_use]
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, self.shared.device.clone())
    }

    /// The device that the variables live on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// What an optimiser may change, sorted by name: every variable but the buffers (`running_mean`, `running_var`,
    /// `num_batches_tracked`).
    #[must_use]
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let variables = self.variables();
        variables.iter().filter(|(name, _)| !is_buffer(name)).map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Copies of all variables, buffers too: later training does not change them.
    ///
    /// # Errors
    /// [`Error::Candle`] when a copy cannot be made (no memory left).
    pub fn named(&self) -> Result<BTreeMap<String, Tensor>> {
        self.variables().iter().map(|(name, var)| Ok((name.clone(), var.copy()?.detach()))).collect()
    }

    /// Sets all variables. Strict: exactly the names and shapes of this model, and finite values. Another number
    /// format (f16, bf16, f64) is converted.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names every missing, unknown, misshapen and non-finite tensor, and nothing is changed.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let variables = self.variables();
        let expected = variables.iter().map(|(name, var)| (name.as_str(), var.as_tensor()));
        // All conversions come before the first change.
        for (name, tensor) in fit("model", expected, tensors)? {
            if let Some(var) = variables.get(name) {
                var.set(&tensor)?;
            }
        }
        Ok(())
    }

    /// Writes all variables to a `.safetensors` file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`] names the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::save(&self.named()?, path)
    }

    /// Sets all variables from a `.safetensors` file, as strictly as [`load`](Self::load).
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::NotSafetensors`] name the file; [`Error::Mismatch`] the tensors.
    pub fn read(&self, path: &Path) -> Result<()> {
        self.load(&files::read(path, &self.shared.device)?)
    }

    fn variables(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // Every change of the map is one insertion, so it is whole even if a holder of the lock panicked.
        self.shared.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.variables().iter().map(|(name, var)| (name, var.dims()))).finish()
    }
}

impl SimpleBackend for Parameters {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let mut variables = self.variables();
        if let Some(var) = variables.get(name) {
            if var.shape() != &shape {
                let (existing, asked) = (var.dims().to_vec(), shape.dims().to_vec());
                return Err(candle_core::Error::wrap(Error::VariableShape { name: name.to_owned(), existing, asked }));
            }
            return Ok(var.as_tensor().clone());
        }
        let values = init::draw(init, &shape, &mut of_parameter(self.shared.seed, name));
        let values = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        let var = Var::from_tensor(&values)?;
        variables.insert(name.to_owned(), var.clone());
        Ok(var.into_inner())
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> candle_core::Result<Tensor> {
        match self.variables().get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => Err(candle_core::Error::wrap(Error::UnknownVariable { name: name.to_owned() })),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.variables().contains_key(name)
    }
}

fn is_buffer(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| BUFFERS.contains(&last))
}

/// Matches `found` to `expected` by name and brings each tensor to the expected device and number format.
///
/// The one check of named tensors from outside: used for weights and for the state of optimisers.
pub(crate) fn fit<'a>(
    target: &'static str,
    expected: impl Iterator<Item = (&'a str, &'a Tensor)>,
    found: &BTreeMap<String, Tensor>,
) -> Result<Vec<(&'a str, Tensor)>> {
    let expected: BTreeMap<&str, &Tensor> = expected.collect();
    let mut mismatch = Mismatch {
        extra: found.keys().filter(|name| !expected.contains_key(name.as_str())).cloned().collect(),
        ..Mismatch::default()
    };
    let mut fitting = Vec::with_capacity(expected.len());
    for (name, wanted) in expected {
        let Some(tensor) = found.get(name) else {
            mismatch.missing.push(name.to_owned());
            continue;
        };
        if tensor.shape() != wanted.shape() {
            let (expected, found) = (wanted.dims().to_vec(), tensor.dims().to_vec());
            mismatch.misshapen.push(Misshapen { name: name.to_owned(), expected, found });
        } else if !is_finite(tensor)? {
            mismatch.not_finite.push(name.to_owned());
        } else {
            let tensor = tensor.detach().to_dtype(wanted.dtype())?.to_device(wanted.device())?;
            fitting.push((name, tensor.contiguous()?));
        }
    }
    if mismatch.is_empty() { Ok(fitting) } else { Err(Error::Mismatch { target, mismatch: Box::new(mismatch) }) }
}

/// Whether no value is NaN or infinite.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.dtype().is_int() {
        return Ok(true);
    }
    // 0 x is 0 for a finite x and NaN otherwise, and the sum keeps it: one pass, on any device.
    let zero = tensor.to_dtype(DType::F32)?.affine(0.0, 0.0)?.sum_all()?.to_scalar::<f32>()?;
    Ok(!zero.is_nan())
}
