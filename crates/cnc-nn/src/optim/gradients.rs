//! The one place that gradients pass through between the backward pass and the optimiser.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::numbers;
use crate::autograd::collecting;
use crate::error::{Error, Result};

/// Keeps the factor of clipping finite when all gradients are zero (`torch.nn.utils.clip_grad_norm_`).
const EPSILON: f64 = 1e-6;

/// The gradients of one step, by the names of their parameters.
///
/// Whatever is done to gradients as a whole is done here: looking whether they are all there and finite, their norm,
/// clipping, accumulating over several backward passes.
#[derive(Debug, Clone)]
pub struct Gradients {
    tensors: BTreeMap<String, Tensor>,
    /// What every value is still to be multiplied with. The optimiser does it as it reads them, which saves a pass over
    /// memory.
    scale: f32,
}

impl Gradients {
    /// The gradients of `loss`, by a backward pass.
    ///
    /// # Errors
    /// [`Error::LossShape`] for a loss of more than one value.
    /// [`Error::MissingGradients`] lists the parameters that no gradient reached. Candle gives none, and no error, where
    /// an operation has no backward pass; training on would leave everything before it frozen.
    pub fn of(loss: &Tensor, parameters: &[(String, Var)]) -> Result<Self> {
        if loss.elem_count() != 1 {
            return Err(Error::LossShape { shape: loss.dims().to_vec() });
        }
        let variables = parameters.iter().map(|(_, parameter)| parameter.as_tensor());
        let (store, mut collected) = collecting(variables, || loss.backward());
        let mut store = store?;
        let mut missing = Vec::new();
        let mut tensors = BTreeMap::new();
        for (name, parameter) in parameters {
            let gradient = match (collected.remove(&parameter.id()), store.remove(parameter)) {
                (Some(ours), Some(others)) => (ours + others)?,
                (Some(gradient), None) | (None, Some(gradient)) => gradient,
                (None, None) => {
                    missing.push(name.clone());
                    continue;
                }
            };
            if gradient.shape() != parameter.shape() {
                let (expected, found) = (parameter.dims().to_vec(), gradient.dims().to_vec());
                return Err(Error::GradientShape { name: name.clone(), expected, found });
            }
            tensors.insert(name.clone(), gradient.detach().contiguous()?);
        }
        if missing.is_empty() {
            Ok(Self { tensors, scale: 1.0 })
        } else {
            Err(Error::MissingGradients { names: missing })
        }
    }

    /// Names of the parameters, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The gradient of a parameter, if it is one of these.
    ///
    /// # Errors
    /// [`Error::Candle`] when there is no memory left.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>> {
        self.tensors.get(name).map(|tensor| self.scaled(tensor)).transpose()
    }

    /// Euclidean norm of all gradients together. NaN or infinite exactly if a value is.
    ///
    /// # Errors
    /// [`Error::Candle`] from a device.
    pub fn norm(&self) -> Result<f64> {
        let mut squares = 0.0;
        for tensor in self.tensors.values() {
            squares += numbers::sum_of_squares(tensor)?;
        }
        Ok(squares.sqrt() * f64::from(self.scale))
    }

    /// Scales all gradients down together so that their norm is at most `max_norm`, by PyTorch's rule: the factor is
    /// `min(1, max_norm / (norm + 1e-6))`. Returns the norm before.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] unless `max_norm` is positive; [`Error::Candle`] from a device.
    pub fn clip(&mut self, max_norm: f64) -> Result<f64> {
        if !(max_norm > 0.0 && max_norm.is_finite()) {
            return Err(Error::InvalidOption { option: "largest gradient norm", expected: "above 0", found: max_norm });
        }
        let norm = self.norm()?;
        // A norm that is not finite stays as it is, to be seen by `all_finite`.
        if norm.is_finite() {
            self.scale *= (max_norm / (norm + EPSILON)).min(1.0) as f32;
        }
        Ok(norm)
    }

    /// The same for the gradients of some parameters alone: what is clipped apart has a norm of its own.
    ///
    /// # Errors
    /// As [`clip`](Self::clip).
    pub fn clip_part(&mut self, is_of_part: impl Fn(&str) -> bool, max_norm: f64) -> Result<f64> {
        let of_part = self.tensors.iter().filter(|(name, _)| is_of_part(name));
        let tensors = of_part.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let mut part = Self { tensors, scale: self.scale };
        let norm = part.clip(max_norm)?;
        let factor = f64::from(part.scale / self.scale);
        if factor < 1.0 {
            for (name, tensor) in part.tensors {
                self.tensors.insert(name, tensor.affine(factor, 0.0)?);
            }
        }
        Ok(norm)
    }

    /// Whether no value is NaN or infinite.
    ///
    /// # Errors
    /// [`Error::Candle`] from a device.
    pub fn all_finite(&self) -> Result<bool> {
        Ok(self.norm()?.is_finite())
    }

    /// Adds the gradients of another backward pass over the same parameters: with [`scale`](Self::scale), the mean over
    /// several batches that do not fit into memory at once.
    ///
    /// # Errors
    /// [`Error::MissingGradients`] and [`Error::UnknownGradients`] when the parameters are not the same.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let absent = |from: &Self, of: &Self| -> Vec<String> {
            of.names().filter(|name| !from.tensors.contains_key(*name)).map(str::to_owned).collect()
        };
        let (missing, unknown) = (absent(other, self), absent(self, other));
        if !missing.is_empty() {
            return Err(Error::MissingGradients { names: missing });
        }
        if !unknown.is_empty() {
            return Err(Error::UnknownGradients { names: unknown });
        }
        let sums = self.tensors.iter().zip(other.tensors.values()).map(|((name, ours), theirs)| {
            let sum = (self.scaled(ours)? + other.scaled(theirs)?)?;
            Ok((name.clone(), sum))
        });
        self.tensors = sums.collect::<Result<_>>()?;
        self.scale = 1.0;
        Ok(())
    }

    /// Adds to the gradient of one parameter.
    ///
    /// # Errors
    /// [`Error::MissingGradients`] when there is none of this name; [`Error::Candle`] when the shapes differ.
    pub fn add_to(&mut self, name: &str, addend: &Tensor) -> Result<()> {
        let Some(gradient) = self.get(name)? else {
            return Err(Error::MissingGradients { names: vec![name.to_owned()] });
        };
        let sum = (gradient + addend)?;
        if self.scale != 1.0 {
            for tensor in self.tensors.values_mut() {
                *tensor = tensor.affine(f64::from(self.scale), 0.0)?;
            }
            self.scale = 1.0;
        }
        self.tensors.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Multiplies every value with `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.scale *= factor as f32;
    }

    /// The values before they are multiplied with [`pending_scale`](Self::pending_scale); contiguous.
    pub(super) fn unscaled(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    pub(super) fn pending_scale(&self) -> f32 {
        self.scale
    }

    fn scaled(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.scale == 1.0 { Ok(tensor.clone()) } else { Ok(tensor.affine(f64::from(self.scale), 0.0)?) }
    }
}
