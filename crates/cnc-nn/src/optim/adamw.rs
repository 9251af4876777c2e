//! Adam, with weight decay decoupled or in the gradient.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};

use super::gradients::Gradients;
use super::group::{ParameterGroup, Slot, pair, require, slots};
use super::numbers;
use super::optimizer::Optimizer;
use crate::error::Result;
use crate::parameters::fit;

/// What all groups of an [`AdamW`] share. The default is PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Shares of the old averages of the gradient and of its square that are kept at each step.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay is added to the gradient, as L2 (`torch.optim.Adam`), and so passes through the moments.
    pub l2: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, l2: false }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2),
/// by PyTorch's rule (`torch.optim.AdamW`); `t` counts steps from 1:
///
/// ```text
/// p <- p - lr weight_decay p
/// m <- beta1 m + (1 - beta1) g
/// v <- beta2 v + (1 - beta2) g^2
/// p <- p - lr / (1 - beta1^t)  m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// With [`l2`](AdamWOptions::l2) it is `torch.optim.Adam`'s (Kingma and Ba 2015): the first line is `g <- g + weight_decay p`.
///
/// The state is `exp_avg.<name>` (m) and `exp_avg_sq.<name>` (v) of every parameter, and `step` (t).
pub struct AdamW {
    slots: Vec<Slot>,
    moments: Vec<Moments>,
    step: i64,
    options: AdamWOptions,
}

/// Moving averages of one parameter's gradient.
struct Moments {
    mean: Tensor,
    square: Tensor,
}

impl AdamW {
    /// An optimiser of the parameters of these groups.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::Error::InvalidOption) unless both betas are at least 0 and below 1 and `eps` is 0 or more;
    /// [`DuplicateParameter`](crate::Error::DuplicateParameter) for a parameter that comes twice.
    pub fn new(groups: Vec<ParameterGroup>, options: AdamWOptions) -> Result<Self> {
        let AdamWOptions { betas: (beta1, beta2), eps, .. } = options;
        for (option, beta) in [("first beta of AdamW", beta1), ("second beta of AdamW", beta2)] {
            require(option, "at least 0 and below 1", beta, (0.0..1.0).contains(&beta))?;
        }
        require("eps of AdamW", "0 or more", eps, eps >= 0.0)?;
        let slots = slots(groups)?;
        let zeros =
            |slot: &Slot| Ok(Moments { mean: slot.parameter.zeros_like()?, square: slot.parameter.zeros_like()? });
        let moments = slots.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { slots, moments, step: 0, options })
    }

    fn named_state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = vec![("step".to_owned(), Tensor::new(self.step, &Device::Cpu)?)];
        for (Slot { name, .. }, Moments { mean, square }) in self.slots.iter().zip(&self.moments) {
            state.push((format!("exp_avg.{name}"), mean.clone()));
            state.push((format!("exp_avg_sq.{name}"), square.clone()));
        }
        Ok(state)
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
        require("learning rate", "0 or more", lr, lr >= 0.0)?;
        let paired = pair(self.slots.iter(), gradients)?;
        self.step += 1;
        for ((slot, moments), gradient) in self.slots.iter().zip(&mut self.moments).zip(paired) {
            let rule = Rule::new(self.options, slot, lr, self.step, gradients.pending_scale());
            if numbers::are_here(&slot.parameter) && numbers::are_here(gradient) {
                rule.step(&slot.parameter, gradient, moments)?;
            } else {
                rule.composed(&slot.parameter, gradient, moments)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.named_state()?.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?.detach()))).collect()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let expected = self.named_state()?;
        let found = fit("optimiser", expected.iter().map(|(name, tensor)| (name.as_str(), tensor)), state)?;
        // Copies: steps change them in place, and `state` belongs to the caller.
        let copies = found.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?)));
        let mut copies: BTreeMap<&str, Tensor> = copies.collect::<Result<_>>()?;
        let step = copies.remove("step").map(|step| step.to_scalar::<i64>()).transpose()?.unwrap_or_default();
        require("step of the optimiser state", "0 or more", step as f64, step >= 0)?;
        let mut take = |kind: &str, name: &str, place: &mut Tensor| {
            if let Some(tensor) = copies.remove(format!("{kind}.{name}").as_str()) {
                *place = tensor;
            }
        };
        for (Slot { name, .. }, moments) in self.slots.iter().zip(&mut self.moments) {
            take("exp_avg", name, &mut moments.mean);
            take("exp_avg_sq", name, &mut moments.square);
        }
        self.step = step;
        Ok(())
    }
}

/// The numbers of one parameter's step, in the precision that it is done in.
#[derive(Clone, Copy)]
struct Rule {
    beta1: f32,
    /// `1 - beta1`, taken before rounding to f32; likewise below.
    rest1: f32,
    beta2: f32,
    rest2: f32,
    /// `1 - lr weight_decay`; 1 where the decay is in the gradient.
    keep: f32,
    /// The decay in the gradient.
    l2: f32,
    /// `lr / (1 - beta1^t)`.
    rate: f32,
    /// `sqrt(1 - beta2^t)`.
    correction: f32,
    eps: f32,
    scale: f32,
}

impl Rule {
    fn new(options: AdamWOptions, slot: &Slot, lr: f64, step: i64, scale: f32) -> Self {
        let AdamWOptions { betas: (beta1, beta2), eps, l2 } = options;
        let (lr, t) = (lr * slot.lr_scale, step as f64);
        Self {
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            keep: if l2 { 1.0 } else { (1.0 - lr * slot.weight_decay) as f32 },
            l2: if l2 { slot.weight_decay as f32 } else { 0.0 },
            rate: (lr / (1.0 - beta1.powf(t))) as f32,
            correction: (1.0 - beta2.powf(t)).sqrt() as f32,
            eps: eps as f32,
            scale,
        }
    }

    /// In plain Candle ops: for every device, and the oracle of the kernel.
    fn composed(self, parameter: &Var, gradient: &Tensor, moments: &mut Moments) -> Result<()> {
        let gradient = (gradient.affine(self.scale.into(), 0.0)? + parameter.affine(self.l2.into(), 0.0)?)?;
        let mean = (moments.mean.affine(self.beta1.into(), 0.0)? + gradient.affine(self.rest1.into(), 0.0)?)?;
        let square =
            (moments.square.affine(self.beta2.into(), 0.0)? + gradient.sqr()?.affine(self.rest2.into(), 0.0)?)?;
        let denominator = square.sqrt()?.affine(1.0 / f64::from(self.correction), self.eps.into())?;
        let change = (&mean / denominator)?.affine(self.rate.into(), 0.0)?;
        parameter.set(&(parameter.affine(self.keep.into(), 0.0)? - change)?)?;
        *moments = Moments { mean: mean.detach(), square: square.detach() };
        Ok(())
    }

    /// On the CPU, in place, in one pass over memory.
    fn step(self, parameter: &Var, gradient: &Tensor, moments: &Moments) -> Result<()> {
        numbers::change_by(parameter, gradient, |parameter, gradient| {
            numbers::change(&moments.mean, |mean| {
                numbers::change(&moments.square, |square| {
                    numbers::each_block([parameter, mean, square], gradient, |[p, m, v], g| self.block(p, m, v, g));
                    Ok(())
                })
            })
        })?;
        Ok(())
    }

    fn block(self, parameter: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
        for (((p, m), v), g) in parameter.iter_mut().zip(mean).zip(square).zip(gradient) {
            let g = g * self.scale + self.l2 * *p;
            *m = self.beta1 * *m + self.rest1 * g;
            *v = self.beta2 * *v + self.rest2 * (g * g);
            *p = self.keep * *p - self.rate * *m / (v.sqrt() / self.correction + self.eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;
    use cnc_base::seeds::of_parameter;

    fn noise(name: &str, count: usize) -> Tensor {
        let values = init::draw(init::pytorch_default(1), &count.into(), &mut of_parameter(0, name));
        Tensor::from_vec(values, count, &Device::Cpu).unwrap()
    }

    fn moments(count: usize) -> Moments {
        Moments { mean: noise("m", count), square: noise("v", count).abs().unwrap() }
    }

    #[test]
    fn the_kernel_and_the_composed_form_agree() {
        for (weight_decay, scale, l2) in [(0.0, 0.5, false), (0.1, 1.0, false), (0.1, 0.5, true)] {
            for count in [1, 7, 1000, 200_000] {
                let variable = || Var::from_tensor(&noise("p", count)).unwrap();
                let (kernel, composed, gradient) = (variable(), variable(), noise("g", count));
                let slot = Slot { name: "p".into(), parameter: kernel.clone(), weight_decay, lr_scale: 1.0 };
                let options = AdamWOptions { betas: (0.8, 0.95), eps: 1e-3, l2 };
                let (kernel_moments, mut composed_moments) = (moments(count), moments(count));
                for step in 1..4 {
                    let rule = Rule::new(options, &slot, 0.1, step, scale);
                    rule.step(&kernel, &gradient, &kernel_moments).unwrap();
                    rule.composed(&composed, &gradient, &mut composed_moments).unwrap();
                }
                for (kernel, composed) in [
                    (kernel.as_tensor(), composed.as_tensor()),
                    (&kernel_moments.mean, &composed_moments.mean),
                    (&kernel_moments.square, &composed_moments.square),
                ] {
                    let difference = (kernel - composed).unwrap().abs().unwrap().max(0).unwrap();
                    assert!(difference.to_scalar::<f32>().unwrap() < 2e-6);
                }
            }
        }
    }
}
