//! Where the data of a run are from: a manifest, or a program that holds them.

use std::sync::Arc;

use anyhow::Result;
use cnc_data::{Dataset, HubRepository, Manifest};

use super::data;
use crate::config::recipe::Recipe;
use crate::config::run_config::RunConfig;
use crate::config::settings::takes_resized_crops;
use crate::error::UsageError;
use crate::methods::Methods;
use crate::training::Listener;

/// Where the data of a run are from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Files that a manifest names.
    Manifest(Box<Manifest>),
    /// Rows that a program holds.
    Memory(Arc<Dataset>),
}

impl Source {
    /// Name of the dataset.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Manifest(manifest) => manifest.name(),
            Self::Memory(dataset) => &dataset.name,
        }
    }

    /// Names of the classes, by class index.
    pub(crate) fn classes(&self) -> &[String] {
        match self {
            Self::Manifest(manifest) => manifest.classes(),
            Self::Memory(dataset) => &dataset.classes,
        }
    }

    /// Whether its inputs are texts, else they are images.
    pub(crate) fn is_text(&self) -> bool {
        match self {
            Self::Manifest(manifest) => manifest.is_text(),
            Self::Memory(dataset) => dataset.train.text(0).is_some(),
        }
    }

    /// Its recipe, with the settings of all methods.
    ///
    /// # Errors
    /// When the recipe of the dataset or the settings of a method cannot be read.
    pub(crate) fn recipe(&self, methods: &Methods) -> Result<Recipe, UsageError> {
        let own = methods.iter().filter(|info| !info.settings.is_empty()).map(|info| (info.name, info.settings));
        let general = Recipe::general(self.is_text(), own)?;
        match self {
            Self::Manifest(manifest) => general.of_dataset(manifest),
            Self::Memory(_) => Ok(general),
        }
    }

    /// The weights that its recipe names.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub(crate) fn weights(&self) -> Result<Option<HubRepository>> {
        match self {
            Self::Manifest(manifest) => Ok(manifest.weights()?),
            Self::Memory(_) => Ok(None),
        }
    }

    /// Open the data, and say what a user should know of them.
    ///
    /// # Errors
    /// When a row is not valid.
    pub(crate) fn open(&self, config: &RunConfig, listener: &Listener) -> Result<Arc<Dataset>> {
        match self {
            Self::Manifest(manifest) => {
                let (manifest, resized_crops) = ((**manifest).clone(), takes_resized_crops(&config.settings));
                let dataset = data::open(&config.data, manifest, config.limit, config.seed, resized_crops, listener)?;
                Ok(Arc::new(dataset))
            }
            Self::Memory(dataset) => Ok(Arc::clone(dataset)),
        }
    }
}
