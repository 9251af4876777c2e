//! What every model here can do.

use candle_core::{Tensor, Var};
use cnc_base::inputs::Inputs;
use cnc_nn::Parameters;
use cnc_nn::layers::Mode;

use crate::error::{Error, Result};

/// A classifier in two parts: an encoder, whose output is the *representation* that contrastive losses compare, and a
/// linear classifier on top of it.
///
/// The mode is given with each call, as the two parts may be in different ones: Correct-N-Contrast trains the encoder in
/// evaluation mode and the classifier in training mode.
pub trait Model: Send + Sync {
    /// Representations `(batch, dim)`.
    ///
    /// # Errors
    /// [`Error::ImageShape`] and [`Error::InputKind`] for inputs that
    /// the model is not made for.
    fn encode(&self, inputs: &Inputs, mode: Mode) -> Result<Tensor>;

    /// Logits `(batch, classes)` of representations `(batch, dim)`.
    ///
    /// # Errors
    /// [`Error::Layer`] for representations of another size.
    fn classify(&self, representations: &Tensor, mode: Mode) -> Result<Tensor>;

    /// Prefix of the classifier's variables: all that depends on the number of classes.
    fn classifier(&self) -> &'static str;

    /// All variables.
    fn parameters(&self) -> &Parameters;

    /// What an optimiser may change, sorted by name: without what is frozen.
    fn trainable(&self) -> Vec<(String, Var)> {
        self.parameters().trainable()
    }

    /// Whether weight decay pulls at a variable of this name. Transformers are trained without it on biases and on layer
    /// norm, networks of convolutions with it on everything.
    fn decays(&self, _name: &str) -> bool {
        true
    }

    /// Size of a representation.
    fn dim(&self) -> usize;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// From now on a training step keeps only what passes between the encoder's parts, and computes the rest again when it
    /// needs it: less memory for more time, the same gradients to the last bit.
    ///
    /// # Errors
    /// [`Error::NotRecomputed`] of models that have no such parts.
    fn recompute_activations(&mut self) -> Result<()> {
        Err(Error::NotRecomputed)
    }
}
