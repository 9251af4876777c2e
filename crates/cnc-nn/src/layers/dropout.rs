//! Dropout with a mask that can be drawn again.

use candle_core::{Device, Tensor};
use rand::RngCore;

use super::Mode;
use crate::error::{Error, Result};
use crate::seeded;

/// In training sets each value to zero with a given probability and scales the others up by `1 / (1 - probability)`,
/// so that the expected value stays; in evaluation does nothing (Srivastava et al. 2014, the inverted form).
///
/// The mask depends on the step's seed and the layer's name alone: the same step drawn again, after a resume for
/// instance, drops the same units.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    name: String,
    probability: f64,
}

impl Dropout {
    /// A layer that drops each value with `probability`. The name tells its masks from those of other layers.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] unless `0 <= probability < 1`.
    pub fn new(probability: f64, name: impl Into<String>) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            let expected = "at least 0 and below 1";
            return Err(Error::InvalidOption { option: "dropout probability", expected, found: probability });
        }
        Ok(Self { name: name.into(), probability })
    }

    /// Any shape to the same shape.
    ///
    /// # Errors
    /// [`Error::Candle`] when there is no memory for the mask.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed } = mode else { return Ok(input.clone()) };
        if self.probability == 0.0 {
            return Ok(input.clone());
        }
        // P(a u32 is below threshold) = probability, to 2^-32.
        let threshold = (self.probability * 2f64.powi(32)) as u32;
        let scale = (1.0 / (1.0 - self.probability)) as f32;
        let mut generator = seeded::generator(seed, &self.name);
        let mask: Vec<f32> =
            (0..input.elem_count()).map(|_| if generator.next_u32() < threshold { 0.0 } else { scale }).collect();
        let mask = Tensor::from_vec(mask, input.shape(), &Device::Cpu)?.to_device(input.device())?;
        Ok((input * mask.to_dtype(input.dtype())?)?)
    }
}
