//! The model of a run: what it is built from, and the weights that it starts from.
//!
//! A model of images is known by its name. One of text takes its sizes from the `config.json` of a checkpoint: a folder
//! with the weights and the tokenizer beside it, as the hub holds it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Device;
use cnc_models::{Activations, Bert, BertConfig, Model, Pooling, TextOptions};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::error::UsageError;
use crate::recipe::checked;

/// The weights of a checkpoint.
pub const WEIGHTS: &str = "model.safetensors";

/// The files of a checkpoint of text that a run keeps a copy of, as far as they are there: what reads its weights needs
/// them.
const BESIDE: [&str; 4] = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

/// Settings of models of text, as a recipe has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextSettings {
    pooling: PoolingName,
    freeze: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PoolingName {
    Pooler,
    Mean,
}

/// The folder of a checkpoint that `--init` names by itself or by its weights.
#[must_use]
pub fn folder(init: &Path) -> &Path {
    let here = Path::new(".");
    if init.is_dir() { init } else { init.parent().filter(|folder| *folder != Path::new("")).unwrap_or(here) }
}

/// The file of the weights that `--init` names by itself or by its folder; none in a folder without weights.
#[must_use]
pub fn weights(init: &Path) -> Option<PathBuf> {
    if !init.is_dir() {
        return Some(init.to_owned());
    }
    Some(init.join(WEIGHTS)).filter(|file| file.exists())
}

/// What a model of text is built from; nothing for a model of images.
///
/// # Errors
/// When there is no such model, no checkpoint to take its sizes from, one that no model can be built from, or a setting
/// that is not valid.
pub fn text_options(model: &str, init: Option<&Path>, settings: &Table) -> Result<Option<TextOptions>> {
    if !cnc_models::takes_text(model)? {
        return Ok(None);
    }
    let Some(init) = init else {
        return Err(UsageError(format!(
            "model `{model}` has the sizes that the config.json of a checkpoint says, and no checkpoint is given\n  hint: \
             --init DIR, with config.json, tokenizer.json or vocab.txt, and {WEIGHTS}"
        ))
        .into());
    };
    let settings: TextSettings = checked(model, settings)?;
    let pooling = match settings.pooling {
        PoolingName::Pooler => Pooling::Pooler,
        PoolingName::Mean => Pooling::Mean,
    };
    let freeze = settings.freeze.split([',', ' ']).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect();
    let config = BertConfig::read(&folder(init).join("config.json"))?;
    Ok(Some(TextOptions { config, pooling, activations: Activations::Kept, freeze }))
}

/// A model with weights drawn from the seed.
///
/// # Errors
/// When there is no such model, or not for so many classes.
pub fn drawn(
    model: &str,
    text: Option<&TextOptions>,
    classes: usize,
    seed: u64,
    device: &Device,
) -> Result<Box<dyn Model>> {
    Ok(match text {
        None => cnc_models::build(model, classes, seed, device)?,
        Some(options) => cnc_models::build_text(model, classes, seed, device, options)?,
    })
}

/// A model that starts from the weights that `init` names; drawn from the seed is what they leave open.
///
/// # Errors
/// As [`drawn`], and when the weights do not fit the model.
pub fn started(
    model: &str,
    text: Option<&TextOptions>,
    init: Option<&Path>,
    classes: usize,
    seed: u64,
    device: &Device,
) -> Result<Box<dyn Model>> {
    let Some(file) = init.and_then(weights) else { return drawn(model, text, classes, seed, device) };
    match text {
        None => {
            let model = drawn(model, None, classes, seed, device)?;
            model.parameters().read(&file)?;
            Ok(model)
        }
        Some(options) => {
            let model = Bert::new(classes, seed, device, options)?;
            model
                .load_pretrained(cnc_nn::files::read(&file, device)?)
                .with_context(|| format!("{} does not fit the config.json beside it", file.display()))?;
            Ok(Box::new(model))
        }
    }
}

/// Copy what belongs to a checkpoint of text, besides its weights, from its folder into that of a run.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_beside(from: &Path, to: &Path) -> Result<()> {
    for name in BESIDE {
        let file = from.join(name);
        if file.is_file() {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            cnc_nn::files::write_atomically(&to.join(name), &bytes)?;
        }
    }
    Ok(())
}
