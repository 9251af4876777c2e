//! What a method trains on.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Tensor, Var};
use cnc_data::{Batch, Draw};
use cnc_models::Model;
use cnc_nn::optim::Optimizer;

/// Named tensors in a fixed order.
pub type Tensors = BTreeMap<String, Tensor>;

/// What a method trains on: batches and their loss.
pub trait Objective {
    /// What travels with a batch from the sampler to the loss, for example the sizes of its parts.
    type Tag: Send + 'static;

    /// The sampler: the batches of one optimiser step, as a function of the step alone, so that a resumed run goes on
    /// with the same ones. It runs on the loader's thread. The losses of a step's batches are averaged.
    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<Self::Tag>> + Send>;

    /// The loss of a batch, a scalar tensor; `seed` is for draws of this batch (dropout).
    ///
    /// # Errors
    /// When the model does not take the batch.
    fn loss(&mut self, model: &dyn Model, batch: Batch, tag: &Self::Tag, seed: u64) -> Result<Tensor>;

    /// What is trained besides the model, by names that no variable of the model has: a second model, for methods that
    /// train two at once. Their gradients come from the same loss and are clipped with the model's.
    fn further_parameters(&self) -> Vec<(String, Var)> {
        Vec::new()
    }

    /// The optimiser that the stage's settings name, or one around it that treats some gradients in another way.
    ///
    /// # Errors
    /// When the model has no such parameters.
    fn optimizer(&self, _model: &dyn Model, of_settings: Box<dyn Optimizer>) -> Result<Box<dyn Optimizer>> {
        Ok(of_settings)
    }

    /// Prefix of the parameters whose gradient is clipped apart from the others', where there are some.
    fn clipped_apart(&self, _model: &dyn Model) -> Option<&'static str> {
        None
    }

    /// All that the objective has learnt up to here and that is not in the model, for the checkpoint.
    ///
    /// # Errors
    /// When a copy cannot be made.
    fn state(&self) -> Result<Tensors> {
        Ok(Tensors::new())
    }

    /// Go on from what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// When the state is not one of this objective.
    fn load_state(&mut self, _state: &Tensors) -> Result<()> {
        Ok(())
    }
}
