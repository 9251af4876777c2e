//! Stochastic gradient descent.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::gradients::Gradients;
use super::group::{ParameterGroup, Slot, pair, require, slots};
use super::numbers;
use super::optimizer::Optimizer;
use crate::error::{Error, Result};
use crate::parameters::fit;

/// What all groups of an [`Sgd`] share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SgdOptions {
    /// Share of the last step's direction that is kept; 0 for none.
    pub momentum: f64,
    /// Look ahead along the new direction (Nesterov). Needs momentum.
    pub nesterov: bool,
}

/// Stochastic gradient descent with momentum and weight decay, by PyTorch's rule (`torch.optim.SGD`, dampening 0):
///
/// ```text
/// g <- gradient + weight_decay p
/// m <- momentum m + g                           (m starts at 0)
/// p <- p - lr m                                 (Nesterov: p - lr (g + momentum m))
/// ```
///
/// Weight decay goes through the momentum, unlike [`AdamW`](super::AdamW)'s. The state is one tensor a parameter,
/// `momentum.<name>`; without momentum there is none.
pub struct Sgd {
    slots: Vec<Slot>,
    /// One a slot, or none at all without momentum.
    momenta: Vec<Tensor>,
    options: SgdOptions,
}

impl Sgd {
    /// An optimiser of the parameters of these groups.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] unless `0 <= momentum < 1`, and for Nesterov without momentum;
    /// [`Error::DuplicateParameter`] for a parameter that comes twice.
    pub fn new(groups: Vec<ParameterGroup>, options: SgdOptions) -> Result<Self> {
        let SgdOptions { momentum, nesterov } = options;
        require("momentum", "at least 0 and below 1", momentum, (0.0..1.0).contains(&momentum))?;
        require("momentum", "above 0 with Nesterov's rule", momentum, !nesterov || momentum > 0.0)?;
        let slots = slots(groups)?;
        let momenta = if momentum == 0.0 {
            Vec::new()
        } else {
            slots.iter().map(|slot| Ok(slot.parameter.zeros_like()?)).collect::<Result<_>>()?
        };
        Ok(Self { slots, momenta, options })
    }

    fn named_momenta(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.iter().zip(&self.momenta).map(|(slot, momentum)| (format!("momentum.{}", slot.name), momentum))
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
        require("learning rate", "0 or more", lr, lr >= 0.0)?;
        let paired = pair(self.slots.iter(), gradients)?;
        for (index, (slot, gradient)) in self.slots.iter().zip(paired).enumerate() {
            let rule = Rule::new(self.options, slot, lr, gradients.pending_scale());
            let momentum = self.momenta.get_mut(index);
            if numbers::are_here(&slot.parameter) && numbers::are_here(gradient) {
                rule.step(&slot.parameter, gradient, momentum.as_deref())?;
            } else {
                rule.composed(&slot.parameter, gradient, momentum)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.named_momenta().map(|(name, momentum)| Ok((name, momentum.copy()?.detach()))).collect()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let expected: Vec<(String, &Tensor)> = self.named_momenta().collect();
        let found = fit("optimiser", expected.iter().map(|(name, tensor)| (name.as_str(), *tensor)), state)?;
        let found: BTreeMap<&str, Tensor> = found.into_iter().collect();
        // Copies: steps change them in place, and `state` belongs to the caller.
        let momenta = expected.iter().filter_map(|(name, _)| found.get(name.as_str()));
        self.momenta =
            momenta.map(|momentum| momentum.copy()).collect::<candle_core::Result<_>>().map_err(Error::from)?;
        Ok(())
    }
}

/// The numbers of one parameter's step, in the precision that it is done in.
#[derive(Clone, Copy)]
struct Rule {
    lr: f32,
    weight_decay: f32,
    momentum: f32,
    scale: f32,
    /// Shares of `g` and `m` in the step: (0, 1), or (1, momentum) with Nesterov's rule.
    ahead: (f32, f32),
}

impl Rule {
    fn new(options: SgdOptions, slot: &Slot, lr: f64, scale: f32) -> Self {
        let momentum = options.momentum as f32;
        Self {
            lr: (lr * slot.lr_scale) as f32,
            weight_decay: slot.weight_decay as f32,
            momentum,
            scale,
            ahead: if options.nesterov { (1.0, momentum) } else { (0.0, 1.0) },
        }
    }

    /// In plain Candle ops: for every device, and the oracle of the kernel.
    fn composed(self, parameter: &Var, gradient: &Tensor, momentum: Option<&mut Tensor>) -> Result<()> {
        let Self { lr, weight_decay, momentum: decay, scale, ahead } = self;
        let gradient = (gradient.affine(scale.into(), 0.0)? + parameter.affine(weight_decay.into(), 0.0)?)?;
        let direction = match momentum {
            None => gradient,
            Some(momentum) => {
                *momentum = (momentum.affine(decay.into(), 0.0)? + &gradient)?.detach();
                (gradient.affine(ahead.0.into(), 0.0)? + momentum.affine(ahead.1.into(), 0.0)?)?
            }
        };
        Ok(parameter.set(&(parameter.as_tensor() - direction.affine(lr.into(), 0.0)?)?)?)
    }

    /// On the CPU, in place, in one pass over memory.
    fn step(self, parameter: &Var, gradient: &Tensor, momentum: Option<&Tensor>) -> Result<()> {
        numbers::change_by(parameter, gradient, |parameter, gradient| {
            let Some(momentum) = momentum else {
                numbers::each_block([parameter], gradient, |[p], g| self.plain_block(p, g));
                return Ok(());
            };
            numbers::change(momentum, |momentum| {
                numbers::each_block([parameter, momentum], gradient, |[p, m], g| self.momentum_block(p, m, g));
                Ok(())
            })
        })?;
        Ok(())
    }

    fn plain_block(self, parameter: &mut [f32], gradient: &[f32]) {
        for (p, g) in parameter.iter_mut().zip(gradient) {
            *p -= self.lr * (g * self.scale + self.weight_decay * *p);
        }
    }

    fn momentum_block(self, parameter: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
        for ((p, m), g) in parameter.iter_mut().zip(momentum).zip(gradient) {
            let g = g * self.scale + self.weight_decay * *p;
            *m = self.momentum * *m + g;
            *p -= self.lr * (self.ahead.0 * g + self.ahead.1 * *m);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::init;
    use cnc_base::seeds::of_parameter;

    fn noise(name: &str, count: usize) -> Tensor {
        let values = init::draw(init::pytorch_default(1), &count.into(), &mut of_parameter(0, name));
        Tensor::from_vec(values, count, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_kernel_and_the_composed_form_agree() {
        for (options, weight_decay, scale) in [
            (SgdOptions { momentum: 0.0, nesterov: false }, 0.1, 1.0),
            (SgdOptions { momentum: 0.9, nesterov: false }, 0.0, 0.5),
            (SgdOptions { momentum: 0.9, nesterov: true }, 0.1, 1.0),
        ] {
            for count in [1, 7, 1000, 200_000] {
                let variable = || Var::from_tensor(&noise("p", count)).unwrap();
                let (kernel, composed, gradient) = (variable(), variable(), noise("g", count));
                let slot = Slot { name: "p".into(), parameter: kernel.clone(), weight_decay, lr_scale: 1.0 };
                let rule = Rule::new(options, &slot, 0.1, scale);
                let (momentum, mut composed_momentum) = (noise("m", count), noise("m", count));
                let used = options.momentum > 0.0;
                for _ in 0..3 {
                    rule.step(&kernel, &gradient, used.then_some(&momentum)).unwrap();
                    rule.composed(&composed, &gradient, used.then_some(&mut composed_momentum)).unwrap();
                }
                for (kernel, composed) in [(kernel.as_tensor(), composed.as_tensor()), (&momentum, &composed_momentum)]
                {
                    let difference = (kernel - composed).unwrap().abs().unwrap().max(0).unwrap();
                    assert!(difference.to_scalar::<f32>().unwrap() < 1e-6);
                }
            }
        }
    }
}
