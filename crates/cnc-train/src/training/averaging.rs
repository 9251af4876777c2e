//! An exponential moving average of a model's weights (Polyak and Juditsky 1992): steps of a constant learning rate jump
//! around a good place, and their average is in it.

use anyhow::Result;
use cnc_models::Model;

use super::objective::Tensors;

/// The moving average of a model's weights while it trains.
#[derive(Debug, Clone)]
pub(crate) struct Average {
    decay: f64,
    weights: Tensors,
}

impl Average {
    /// An average with this decay that starts at the given weights; with a decay of 0 there is none.
    #[must_use]
    pub(crate) fn new(decay: f64, weights: Tensors) -> Option<Self> {
        (decay > 0.0).then_some(Self { decay, weights })
    }

    /// Take in the weights after `step` steps. The first steps count for more, so that the random start is forgotten.
    /// Running statistics are averaged like weights, as they belong to them; counters are those of the newest weights.
    ///
    /// # Errors
    /// When a tensor cannot be computed with.
    pub(crate) fn update(&mut self, model: &dyn Model, step: u64) -> Result<()> {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (name, weight) in model.parameters().named()? {
            if let Some(average) = self.weights.get_mut(&name) {
                let counts = weight.dtype().is_int();
                *average = if counts { weight } else { ((&*average * decay)? + (weight * (1.0 - decay))?)? };
            }
        }
        Ok(())
    }

    /// The averaged weights.
    #[must_use]
    pub(crate) fn weights(&self) -> &Tensors {
        &self.weights
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use cnc_models::{Inputs, Mode};

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

    #[test]
    fn running_statistics_are_averaged_and_counters_are_not() {
        let model = cnc_models::build("resnet18", 2, 0, &Device::Cpu).unwrap();
        let mut average = Average::new(0.5, model.parameters().named().unwrap()).unwrap();
        let images = Tensor::rand(0f32, 1.0, (4, 3, 16, 16), &Device::Cpu).unwrap();
        for step in 1000..1003 {
            model.encode(&Inputs::Images(images.clone()), Mode::Train { seed: 0 }).unwrap();
            average.update(&*model, step).unwrap();
        }
        let named = model.parameters().named().unwrap();
        assert_eq!(average.weights()["bn1.num_batches_tracked"].to_scalar::<i64>().unwrap(), 3);
        let first = |tensors: &Tensors| tensors["bn1.running_var"].to_vec1::<f32>().unwrap()[0];
        // The batch is the same each time, and its weight in the running statistics is 0.1: 1 - 0.9^n of the way.
        let (start, now) = (1.0, first(&named));
        let end = start + (now - start) / (1.0 - 0.9f32.powi(3));
        let after = |n: i32| end + (start - end) * 0.9f32.powi(n);
        let expected = 0.125 * start + 0.125 * after(1) + 0.25 * after(2) + 0.5 * after(3);
        assert!((first(average.weights()) - expected).abs() < 1e-4, "{} is not {expected}", first(average.weights()));
        // What is averaged fits the model again.
        model.parameters().load(average.weights()).unwrap();
    }
}
