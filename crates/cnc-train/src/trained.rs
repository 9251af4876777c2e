//! The model of a finished run, out of the run's folder alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use cnc_models::Model;

use crate::methods::{Method, find};
use crate::network::Network;
use crate::recipe::of_method_and_model;
use crate::run_folder::RunConfig;

/// A finished run.
pub struct Trained {
    /// Its settings.
    pub config: RunConfig,
    run: PathBuf,
    network: Network,
    method: Box<dyn Method>,
}

impl Trained {
    /// Open the folder of a finished run.
    ///
    /// # Errors
    /// When it holds no finished run, or its settings cannot be read.
    pub fn open(run: &Path) -> Result<Self> {
        if !run.is_dir() {
            return Err(anyhow!("{}: there is no such folder; that of a finished run is needed", run.display()));
        }
        if !run.join("results.json").exists() {
            return Err(anyhow!(
                "{} holds no finished run\n  hint: finish it with the command that started it and `--resume`",
                run.display()
            ));
        }
        let path = run.join("config.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let config: RunConfig =
            toml::from_str(&text).map_err(|e| anyhow!("{}: {}", path.display(), e.to_string().trim()))?;
        let (of_method, of_model) = of_method_and_model(&config.settings);
        let network = Network::new(&config.model, Some(run), &of_model)?;
        let method = (find(&config.method)?.build)(&of_method)?;
        Ok(Self { config, run: run.to_owned(), network, method })
    }

    /// Whether its model takes texts; the folder then holds the tokenizer, too.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.network.is_text()
    }

    /// The model that the run saved, for so many classes.
    ///
    /// # Errors
    /// When the weights are missing or damaged, or of another model.
    pub fn model(&self, classes: usize, device: &Device) -> Result<Box<dyn Model>> {
        let model = self.method.model(self.network.drawn(classes, self.config.seed, device)?)?;
        let weights = self.run.join("model.safetensors");
        model
            .parameters()
            .read(&weights)
            .with_context(|| format!("the model cannot be read from {}", weights.display()))?;
        Ok(model)
    }
}
