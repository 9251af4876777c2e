//! A classifier whose gradient is not zeroed between optimiser steps, as the published code of Correct-N-Contrast has it.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};

use super::gradients::Gradients;
use super::optimizer::Optimizer;
use crate::error::Result;
use crate::parameters::fit;

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
    pub fn new(inner: Box<dyn Optimizer>, parameters: &[(String, Var)], zero_every: u64) -> Result<Self> {
        let sums = parameters
            .iter()
            .map(|(name, parameter)| Ok((name.clone(), parameter.zeros_like()?)))
            .collect::<Result<_>>()?;
        Ok(Self { inner, sums, zero_every: zero_every.max(1), steps: 0 })
    }
}

impl Optimizer for Accumulating {
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
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

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = self.inner.state()?;
        for (name, sum) in &self.sums {
            state.insert(format!("{SUM}{name}"), sum.copy()?);
        }
        state.insert(STEPS.to_owned(), Tensor::new(self.steps as i64, &Device::Cpu)?);
        Ok(state)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let (own, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            state.clone().into_iter().partition(|(name, _)| name.starts_with(SUM) || name == STEPS);
        let named: Vec<(String, &Tensor)> = self.sums.iter().map(|(name, sum)| (format!("{SUM}{name}"), sum)).collect();
        let steps = Tensor::new(0_i64, &Device::Cpu)?;
        let expected = named.iter().map(|(name, sum)| (name.as_str(), *sum)).chain([(STEPS, &steps)]);
        let mut found: BTreeMap<&str, Tensor> = fit("optimiser", expected, &own)?.into_iter().collect();
        let steps = found.remove(STEPS).map(|steps| steps.to_scalar::<i64>()).transpose()?.unwrap_or_default();
        let sums = self.sums.keys().zip(&named).filter_map(|(name, (saved, _))| {
            let sum = found.remove(saved.as_str())?;
            Some((name.clone(), sum))
        });
        let sums = sums.collect();
        self.inner.load_state(&rest)?;
        (self.sums, self.steps) = (sums, steps.unsigned_abs());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{ParameterGroup, Sgd, SgdOptions};

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
        optimizer.step(&Gradients::of(&loss, parameters).unwrap(), 1.0).unwrap();
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

    #[test]
    fn a_state_without_the_sums_is_refused_by_name() {
        let parameters = parameters();
        let mut optimizer = optimizer(&parameters);
        let mut state = optimizer.state().unwrap();
        state.remove("accumulated.fc.weight");
        let message = optimizer.load_state(&state).unwrap_err().to_string();
        assert!(message.contains("accumulated.fc.weight"), "{message}");
    }
}
