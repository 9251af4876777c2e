//! A second model that is trained beside the one that the trainer knows, for methods that train two at once.

use anyhow::Result;
use candle_core::Var;
use cnc_models::Model;

use super::objective::Tensors;

/// A model whose variables stand under a prefix, for the optimiser and in a checkpoint.
pub(crate) struct Beside {
    /// The model.
    pub(crate) model: Box<dyn Model>,
    prefix: &'static str,
}

impl Beside {
    /// A model beside another one; `prefix` ends in a dot.
    pub(crate) fn new(model: Box<dyn Model>, prefix: &'static str) -> Self {
        Self { model, prefix }
    }

    /// What an objective trains besides the trainer's model.
    pub(crate) fn parameters(&self) -> Vec<(String, Var)> {
        let of_model = self.model.trainable();
        of_model.into_iter().map(|(name, parameter)| (format!("{}{name}", self.prefix), parameter)).collect()
    }

    /// Its part of an objective's state.
    pub(crate) fn state(&self) -> Result<Tensors> {
        let named = self.model.parameters().named()?;
        Ok(named.into_iter().map(|(name, weight)| (format!("{}{name}", self.prefix), weight)).collect())
    }

    /// Go on from its part of an objective's state.
    pub(crate) fn load_state(&self, state: &Tensors) -> Result<()> {
        let own = state
            .iter()
            .filter_map(|(name, w)| Some((name.strip_prefix(self.prefix)?.to_owned(), w.clone())))
            .collect();
        Ok(self.model.parameters().load(&own)?)
    }
}
