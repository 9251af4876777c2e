//! Dropout with a mask that can be drawn again.

use candle_core::Tensor;
use cnc_base::seeds;
use rand::RngCore;

use super::mode::{Mode, named};
use crate::error::{Error, Result};
use crate::ops::{self, Mask};

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

    /// The mask of a step; `None` where nothing is dropped.
    #[must_use]
    pub fn mask(&self, mode: Mode) -> Option<Mask> {
        let Mode::Train { seed } = mode else { return None };
        // `new` has checked the probability.
        Mask::new(self.probability, seeds::of_parameter(seed, &self.name).next_u64()).ok().flatten()
    }

    /// Any shape to the same shape.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) when there is no memory left.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.mask(mode) {
            Some(mask) => named(&self.name, ops::dropout(input, mask)),
            None => Ok(input.clone()),
        }
    }
}
