//! A classifier whose gradient is not zeroed between optimiser steps, as the published code of Correct-N-Contrast has it.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use cnc_nn::optim::{Gradients, Optimizer};

use crate::checkpoint::Tensors;

/// Prefix of the sums in the saved state.
const SUM: &str = "accumulated.";
/// Name of the number of steps in the saved state.
const STEPS: &str = "accumulated_steps";

/// An optimiser that sees, for some parameters, the sum of all gradients since the last time they were zeroed.
pub struct Accumulating {
    inner: Box<dyn Optimizer>,
    sums: BTreeMap<String, Tensor>,
    zero_every: u64,
    steps: u64,
}

impl Accumulating {
    /// Sums the gradients of these parameters, and zeroes the sums every `zero_every` steps.
    ///
    /// # Errors
    /// When there is no memory for the sums.
    pub fn new(inner: Box<dyn Optimizer>, parameters: &[(String, Var)], zero_every: u64) -> cnc_nn::Result<Self> {
        let sums = parameters
            .iter()
            .map(|(name, parameter)| Ok((name.clone(), parameter.zeros_like()?)))
            .collect::<cnc_nn::Result<_>>()?;
        Ok(Self { inner, sums, zero_every: zero_every.max(1), steps: 0 })
    }
}

impl Optimizer for Accumulating {
    fn step(&mut self, gradients: &Gradients, lr: f64) -> cnc_nn::Result<()> {
        let mut gradients = gradients.clone();
        let zeroed = self.steps.is_multiple_of(self.zero_every);
        for (name, sum) in &mut self.sums {
            if !zeroed {
                gradients.add_to(name, sum)?;
            }
            if let Some(total) = gradients.get(name)? {
                *sum = total;
            }
        }
        self.inner.step(&gradients, lr)?;
        self.steps += 1;
        Ok(())
    }

    fn state(&self) -> cnc_nn::Result<Tensors> {
        let mut state = self.inner.state()?;
        for (name, sum) in &self.sums {
            state.insert(format!("{SUM}{name}"), sum.copy()?);
        }
        state.insert(STEPS.to_owned(), Tensor::new(self.steps as i64, &Device::Cpu)?);
        Ok(state)
    }

    fn load_state(&mut self, state: &Tensors) -> cnc_nn::Result<()> {
        let mut rest = state.clone();
        let own: Tensors = self.sums.keys().filter_map(|name| rest.remove_entry(&format!("{SUM}{name}"))).collect();
        let steps = rest.remove(STEPS);
        self.inner.load_state(&rest)?;
        for (name, sum) in &mut self.sums {
            if let Some(saved) = own.get(&format!("{SUM}{name}")) {
                *sum = saved.to_device(sum.device())?;
            }
        }
        self.steps = steps.map(|steps| steps.to_scalar::<i64>()).transpose()?.unwrap_or_default().unsigned_abs();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cnc_nn::optim::{ParameterGroup, Sgd, SgdOptions};

    use super::*;

    /// Plain steps of rate 1 on a parameter of the encoder and one of the classifier.
    fn optimizer(parameters: &[(String, Var)]) -> Accumulating {
        let group = ParameterGroup { parameters: parameters.to_vec(), weight_decay: 0.0, lr_scale: 1.0 };
        let inner = Sgd::new(vec![group], SgdOptions::default()).unwrap();
        Accumulating::new(Box::new(inner), &parameters[1..], 3).unwrap()
    }

    fn parameters() -> Vec<(String, Var)> {
        ["conv.weight", "fc.weight"]
            .map(|name| (name.to_owned(), Var::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap()))
            .into()
    }

    /// One step with a gradient of 1 for both; gives the two values after it.
    fn step(optimizer: &mut Accumulating, parameters: &[(String, Var)]) -> Vec<f32> {
        let loss = (parameters[0].1.as_tensor() + parameters[1].1.as_tensor()).unwrap().sum_all().unwrap();
        optimizer.step(&Gradients::collect(&loss.backward().unwrap(), parameters).unwrap(), 1.0).unwrap();
        parameters.iter().map(|(_, parameter)| parameter.to_vec1::<f32>().unwrap()[0]).collect()
    }

    #[test]
    fn the_classifiers_gradient_adds_up_until_it_is_zeroed_and_the_encoders_does_not() {
        let parameters = parameters();
        let mut optimizer = optimizer(&parameters);
        let path: Vec<Vec<f32>> = (0..4).map(|_| step(&mut optimizer, &parameters)).collect();
        assert_eq!(path, [[-1.0, -1.0], [-2.0, -3.0], [-3.0, -6.0], [-4.0, -7.0]]);
    }

    #[test]
    fn a_restored_optimiser_goes_on_with_its_sums() {
        let parameters = parameters();
        let mut first = optimizer(&parameters);
        step(&mut first, &parameters);
        let mut second = optimizer(&parameters);
        second.load_state(&first.state().unwrap()).unwrap();
        assert_eq!(step(&mut second, &parameters), [-2.0, -3.0]);
    }
}
