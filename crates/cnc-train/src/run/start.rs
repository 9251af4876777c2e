//! A run as a program starts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use cnc_data::{Dataset, Manifest};
use cnc_models::Registry;

use super::configure::configure;
use super::source::Source;
use crate::config::asked::Asked;
use crate::config::manifest;
use crate::config::selection::Selection;
use crate::methods::{Known, MethodInfo};
use crate::record::Results;
use crate::training::{Event, Listener};

/// A run: one dataset, one method, one seed, one folder. What is not said is the recipe's, or has the default of the command
/// line; [`train`](Self::train) checks all of it before anything is read.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// let results = cnc_train::Run::of("digits")?.method("erm").seed(1).set("epochs=3").folder("runs/plain").train()?;
/// println!("worst group {:?}", results.test.worst_group_accuracy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Run {
    source: Source,
    asked: Asked,
    known: Known,
    folder: Option<PathBuf>,
    resume: bool,
    listener: Listener,
    stop: Arc<AtomicBool>,
}

impl Run {
    fn new(source: Source, dataset: Option<String>) -> Self {
        Self {
            source,
            asked: Asked { dataset, ..Asked::default() },
            known: Known::default(),
            folder: None,
            resume: false,
            listener: Arc::new(|_| {}),
            stop: Arc::default(),
        }
    }

    /// A run on a built-in dataset, or on the dataset of the manifest at this path.
    ///
    /// # Errors
    /// When there is no such dataset, or its manifest is not valid.
    pub fn of(dataset: &str) -> Result<Self> {
        Ok(Self::new(Source::Manifest(Box::new(manifest::open(dataset)?)), Some(dataset.to_owned())))
    }

    /// A run on the files that a manifest names.
    #[must_use]
    pub fn of_manifest(manifest: Manifest) -> Self {
        let name = manifest.name().to_owned();
        Self::new(Source::Manifest(Box::new(manifest)), Some(name))
    }

    /// A run on rows that the program holds.
    #[must_use]
    pub fn of_dataset(dataset: Dataset) -> Self {
        let name = dataset.name.clone();
        Self::new(Source::Memory(Arc::new(dataset)), Some(name))
    }

    /// Its method (default: `cnc`).
    #[must_use]
    pub fn method(mut self, name: &str) -> Self {
        self.asked.method = Some(name.to_owned());
        self
    }

    /// A method of the program's own, in the place of one that has its name.
    #[must_use]
    pub fn with_method(mut self, info: MethodInfo) -> Self {
        self.known.methods.register(info);
        self
    }

    /// Models of the program's own, beside those that are built in.
    #[must_use]
    pub fn with_models(mut self, models: Registry) -> Self {
        self.known.models = models;
        self
    }

    /// Its model (default: the recipe's).
    #[must_use]
    pub fn model(mut self, name: &str) -> Self {
        self.asked.options.model = Some(name.to_owned());
        self
    }

    /// Its seed (default: 0).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.asked.seed = Some(seed);
        self
    }

    /// Where it computes: `auto`, `cpu`, `cuda`, `cuda:1`, `metal` (default: `auto`).
    #[must_use]
    pub fn device(mut self, name: &str) -> Self {
        self.asked.options.device = Some(name.to_owned());
        self
    }

    /// One setting of the method's recipe, as `key=value`; later ones win.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Self {
        self.asked.options.set.push(assignment.to_owned());
        self
    }

    /// Which checkpoint counts (default: that of the best worst group on validation).
    #[must_use]
    pub fn select(mut self, selection: Selection) -> Self {
        self.asked.options.select = Some(selection);
        self
    }

    /// The weights that its models start from: a file, or the folder of a checkpoint of text.
    #[must_use]
    pub fn init(mut self, weights: impl AsRef<Path>) -> Self {
        self.asked.options.init = Some(weights.as_ref().to_owned());
        self
    }

    /// Its folder (default: `runs/<dataset>-<method>-<seed>`).
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Go on with the run that its folder holds, which has to have the same settings and data.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// What is called with every event.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Arc::new(listener);
        self
    }

    /// A flag that another thread sets to have the run save and stop: [`train`](Self::train) then ends with
    /// [`Interrupted`](crate::Interrupted).
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Train all stages, and write the model, the report and the results into the folder.
    ///
    /// # Errors
    /// When a setting or a row is not valid, the folder holds another run, a stage cannot be trained, a file cannot be written,
    /// or the run was stopped.
    pub fn train(self) -> Result<Results> {
        let job = configure(self.asked, "", &self.source, &self.known)?;
        let opened = job.open(&self.source, &self.listener)?;
        let run = job.start(&opened, self.folder, self.resume, self.listener, self.stop)?;
        Ok(run.results()?.clone())
    }
}
