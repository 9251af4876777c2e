//! Models by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use candle_core::Device;
use cnc_base::names::nearest;

#[cfg(feature = "bert")]
use crate::bert::{self, Bert, TextOptions};
use crate::error::{Error, Result};
use crate::lenet::{self, LeNet};
use crate::model::Model;
use crate::resnet::{RESNET18, RESNET34, RESNET50, ResNet};

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images.
    Images,
    /// Tokens of texts.
    Text,
}

type Built = Result<Box<dyn Model>>;

/// Makes a model for a number of classes, with weights drawn under a seed, on a device.
type Builder = Arc<dyn Fn(usize, u64, &Device) -> Built + Send + Sync>;

/// How a model is built.
#[derive(Clone)]
enum Constructor {
    /// Its name says all.
    Named(Kind, Builder),
    /// A model of text with the sizes of a checkpoint.
    #[cfg(feature = "bert")]
    Sized(fn(usize, u64, &Device, &TextOptions) -> Built),
}

/// The models that a program knows by name: those of this crate, and its own.
///
/// ```
/// use candle_core::Device;
/// use cnc_models::{Kind, LeNet, Registry};
///
/// let mut models = Registry::builtin();
/// models.register("small", Kind::Images, |classes, seed, device| Ok(Box::new(LeNet::new(classes, seed, device)?)))?;
/// assert_eq!(models.build("small", 5, 0, &Device::Cpu)?.classes(), 5);
/// assert!(models.names().any(|name| name == "small"));
/// # Ok::<(), cnc_models::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    models: BTreeMap<String, Constructor>,
}

impl Registry {
    /// The models of this crate. ([`Registry::default`] knows none.)
    #[must_use]
    pub fn builtin() -> Self {
        let image = |name: &str, build: fn(usize, u64, &Device) -> Built| {
            (name.to_owned(), Constructor::Named(Kind::Images, Arc::new(build)))
        };
        let models = [
            #[cfg(feature = "bert")]
            (
                bert::NAME.to_owned(),
                Constructor::Sized(|n, seed, device, o| Ok(Box::new(Bert::new(n, seed, device, o)?))),
            ),
            image(lenet::NAME, |classes, seed, device| Ok(Box::new(LeNet::new(classes, seed, device)?))),
            image(RESNET18.name, |classes, seed, device| Ok(Box::new(ResNet::resnet18(classes, seed, device)?))),
            image(RESNET34.name, |classes, seed, device| Ok(Box::new(ResNet::resnet34(classes, seed, device)?))),
            image(RESNET50.name, |classes, seed, device| Ok(Box::new(ResNet::resnet50(classes, seed, device)?))),
        ];
        Self { models: models.into() }
    }

    /// Adds a model: `build` makes one for a number of classes, with fresh weights drawn under a seed, on a device.
    ///
    /// # Errors
    /// [`Error::NameTaken`] where there is a model of this name.
    pub fn register(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        build: impl Fn(usize, u64, &Device) -> Result<Box<dyn Model>> + Send + Sync + 'static,
    ) -> Result<()> {
        let name = name.into();
        if self.models.contains_key(&name) {
            return Err(Error::NameTaken { name });
        }
        self.models.insert(name, Constructor::Named(kind, Arc::new(build)));
        Ok(())
    }

    /// The names of all models, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// What a model reads.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] names the nearest valid name and all of them.
    pub fn kind(&self, name: &str) -> Result<Kind> {
        match self.find(name)? {
            Constructor::Named(kind, _) => Ok(*kind),
            #[cfg(feature = "bert")]
            Constructor::Sized(_) => Ok(Kind::Text),
        }
    }

    /// Whether a model has the sizes of a checkpoint, and is built by [`build_text`](Self::build_text).
    ///
    /// # Errors
    /// As [`kind`](Self::kind).
    #[cfg(feature = "bert")]
    pub fn is_sized_by_checkpoint(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.find(name)?, Constructor::Sized(_)))
    }

    /// A model with fresh weights, drawn under `seed`.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] names the nearest valid name and all of them; [`Error::TooFewClasses`] for less than two
    /// classes; [`Error::Builder`] for a model with the sizes of a checkpoint.
    pub fn build(&self, name: &str, classes: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>> {
        match self.find(name)? {
            Constructor::Named(_, build) => build(classes, seed, device),
            #[cfg(feature = "bert")]
            Constructor::Sized(_) => {
                Err(Error::Builder { model: name.to_owned(), kind: "text", function: "build_text" })
            }
        }
    }

    /// A model of text with the sizes of a checkpoint and fresh weights, drawn under `seed`.
    ///
    /// # Errors
    /// As [`build`](Self::build), the other way round; [`Error::UnknownPattern`] for a pattern in `freeze` that names
    /// nothing.
    #[cfg(feature = "bert")]
    pub fn build_text(
        &self,
        name: &str,
        classes: usize,
        seed: u64,
        device: &Device,
        options: &TextOptions,
    ) -> Result<Box<dyn Model>> {
        match self.find(name)? {
            Constructor::Sized(build) => build(classes, seed, device, options),
            Constructor::Named(kind, _) => {
                let kind = match kind {
                    Kind::Images => "images",
                    Kind::Text => "text without a checkpoint",
                };
                Err(Error::Builder { model: name.to_owned(), kind, function: "build" })
            }
        }
    }

    fn find(&self, name: &str) -> Result<&Constructor> {
        self.models.get(name).ok_or_else(|| Error::UnknownModel {
            name: name.to_owned(),
            nearest: nearest(&name.to_lowercase(), self.names()).unwrap_or_default().to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// [`Registry::build`] of the models of this crate.
///
/// # Errors
/// As there.
pub fn build(name: &str, classes: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>> {
    Registry::builtin().build(name, classes, seed, device)
}
