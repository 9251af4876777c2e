//! An exponential moving average of a model's weights (Polyak and Juditsky 1992): steps of a constant learning rate jump
//! around a good place, and their average is in it.

use anyhow::Result;
use cnc_models::Model;

use crate::checkpoint::Tensors;

/// The moving average of a model's weights while it trains.
#[derive(Debug, Clone)]
pub struct Average {
    decay: f64,
    weights: Tensors,
}

impl Average {
    /// An average with this decay that starts at the given weights; with a decay of 0 there is none.
    #[must_use]
    pub fn new(decay: f64, weights: Tensors) -> Option<Self> {
        (decay > 0.0).then_some(Self { decay, weights })
    }

    /// Take in the weights after `step` steps. The first steps count for more, so that the random start is forgotten.
    ///
    /// # Errors
    /// When a tensor cannot be computed with.
    pub fn update(&mut self, model: &dyn Model, step: u64) -> Result<()> {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (name, weight) in model.parameters().named()? {
            if let Some(average) = self.weights.get_mut(&name) {
                *average = ((&*average * decay)? + (weight * (1.0 - decay))?)?;
            }
        }
        Ok(())
    }

    /// The averaged weights.
    #[must_use]
    pub fn weights(&self) -> &Tensors {
        &self.weights
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_average_moves_towards_the_weights_by_what_the_decay_leaves() {
        let model = cnc_models::build("lenet", 2, 0, &Device::Cpu).unwrap();
        let zeros: Tensors =
            model.parameters().named().unwrap().into_iter().map(|(name, w)| (name, w.zeros_like().unwrap())).collect();
        assert!(Average::new(0.0, zeros.clone()).is_none());
        let mut average = Average::new(0.5, zeros).unwrap();
        average.update(&*model, 1000).unwrap();
        average.update(&*model, 1001).unwrap();
        let weight = model.parameters().named().unwrap()["fc.bias"].to_vec1::<f32>().unwrap();
        let averaged = average.weights()["fc.bias"].to_vec1::<f32>().unwrap();
        for (weight, averaged) in weight.iter().zip(averaged) {
            assert!((averaged - 0.75 * weight).abs() < 1e-7, "{averaged} is not three quarters of {weight}");
        }
    }
}
