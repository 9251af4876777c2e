//! The model of a run: what it is built from, and the weights that it starts from.
//!
//! A model of images is known by its name. One of text takes its sizes from the `config.json` of a checkpoint: a folder
//! with the weights and the tokenizer beside it, as the hub holds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow};
use candle_core::{DType, Device, Tensor};
use cnc_data::Preparation;
use cnc_models::weights::{self, Head, Loaded};
use cnc_models::{Bert, BertConfig, Inputs, Mode, Model, Notice, Pooling, Registry, TextOptions};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::config::recipe::checked;
use crate::error::{UsageError, shown};

/// The weights of a checkpoint.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// The files of a tokenizer, as far as they are there.
const TOKENIZER: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"];

/// Settings of models, as a recipe has them; those of texts stand in the recipes of texts only.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ModelSettings {
    checkpoint_activations: bool,
    pooling: Pooling,
    freeze: String,
}

/// The folder of a checkpoint that `--init` names by itself or by its weights.
#[must_use]
pub(crate) fn folder(init: &Path) -> &Path {
    let here = Path::new(".");
    let (init, _) = weights::apart(init);
    if init.is_dir() { init } else { init.parent().filter(|folder| *folder != Path::new("")).unwrap_or(here) }
}

fn no_weights(init: &Path) -> String {
    format!("no weights in {}: drawn at random from the seed", init.display())
}

/// What the models of a run are built from, and start from.
#[derive(Clone)]
pub(crate) struct Network {
    models: Registry,
    name: String,
    /// What a model of text is built from; nothing for a model of images.
    text: Option<TextOptions>,
    init: Option<PathBuf>,
    /// Whether there are weights where `init` says.
    pretrained: bool,
    /// The weights that a recipe asks for and that are not here.
    absent: Option<String>,
    /// What became of these weights, once they were read.
    notes: Arc<OnceLock<Vec<String>>>,
    recompute: bool,
}

impl Network {
    /// A model of this name among those that are known, from the weights that `init` names, with the settings that a recipe has for models.
    ///
    /// # Errors
    /// When there is no such model, no checkpoint to take the sizes of a model of text from, one that no model can be built
    /// from, or a setting that is not valid.
    pub(crate) fn new(models: Registry, name: &str, init: Option<&Path>, settings: &Table) -> Result<Self> {
        let settings: ModelSettings = checked(name, settings)?;
        let sized = models.is_sized_by_checkpoint(name)?;
        let pretrained = init.map(weights::find).transpose()?.flatten().is_some();
        let text = if sized { Some(text_options(name, init, &settings)?) } else { None };
        Ok(Self {
            models,
            name: name.to_owned(),
            text,
            init: init.map(Path::to_owned),
            pretrained,
            absent: None,
            notes: Arc::default(),
            recompute: settings.checkpoint_activations,
        })
    }

    /// The same in place of a network that starts from weights which are not on this machine, as this sentence says.
    #[must_use]
    pub(crate) fn in_place_of(self, absent: Option<String>) -> Self {
        Self { absent, ..self }
    }

    /// What models start from, in a few words; a user who meant weights that are not there is told so.
    #[must_use]
    pub(crate) fn origin(&self) -> String {
        match (&self.init, &self.absent) {
            (Some(init), _) if self.pretrained => format!("starting from the weights in {}", init.display()),
            (Some(init), _) => format!("warning: starting from scratch: {}", no_weights(init)),
            (None, Some(absent)) => format!("warning: starting from scratch: {absent}"),
            (None, None) => "starting from scratch: weights are drawn from the seed".to_owned(),
        }
    }

    /// Refuse texts that are longer than the model takes.
    ///
    /// # Errors
    /// When they are.
    pub(crate) fn check_length(&self, preparation: &Preparation) -> Result<(), UsageError> {
        match (&self.text, preparation) {
            (Some(TextOptions { config, .. }), Preparation::Text(texts)) if texts.max_length > config.positions() => {
                Err(UsageError(format!(
                    "--max-length {} is too long: the model takes {} tokens at most (max_position_embeddings of its \
                     config.json)",
                    texts.max_length,
                    config.positions()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether its models start from weights of a file; else these are drawn from the seed.
    #[must_use]
    pub(crate) fn pretrained(&self) -> bool {
        self.pretrained
    }

    /// A model with weights drawn from the seed.
    ///
    /// # Errors
    /// When it cannot be for so many classes, or does not recompute activations.
    pub(crate) fn drawn(&self, classes: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>> {
        let mut model = match &self.text {
            None => self.models.build(&self.name, classes, seed, device)?,
            Some(options) => self.models.build_text(&self.name, classes, seed, device, options)?,
        };
        self.recomputing(&mut *model)?;
        Ok(model)
    }

    /// A model that starts from the weights that `init` names, and what a user should know of these; drawn from the seed is
    /// what they leave open.
    ///
    /// # Errors
    /// As [`drawn`](Self::drawn), and when the weights do not fit the model.
    pub(crate) fn started(&self, classes: usize, seed: u64, device: &Device) -> Result<(Box<dyn Model>, Vec<String>)> {
        let (model, notes) = match (self.init.as_deref(), &self.text) {
            (Some(init), Some(options)) if self.pretrained => {
                self.started_of_text(init, options, classes, seed, device).map_err(|error| of_several(init, error))?
            }
            (Some(init), None) if self.pretrained => {
                self.started_of_images(init, classes, seed, device).map_err(|error| of_several(init, error))?
            }
            (Some(init), _) => (self.drawn(classes, seed, device)?, vec![no_weights(init)]),
            (None, _) => (self.drawn(classes, seed, device)?, self.absent.iter().cloned().collect()),
        };
        // Equal in every stage.
        let notes = self.notes.get_or_init(|| notes).clone();
        Ok((model, notes))
    }

    fn started_of_images(
        &self,
        init: &Path,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<(Box<dyn Model>, Vec<String>)> {
        let model = self.drawn(classes, seed, device)?;
        let Loaded { head, mut notes } = weights::load(&*model, init)?;
        let name = model.classifier();
        match head {
            Head::Loaded => {}
            Head::LeftOut { classes: of_file } => notes.push(left_out(init, name, of_file, classes)),
            Head::Missing => notes.push(format!(
                "{} has no classifier `{name}`; that for the {classes} classes here is drawn from the seed",
                init.display()
            )),
        }
        Ok((model, notes))
    }

    fn started_of_text(
        &self,
        init: &Path,
        options: &TextOptions,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<(Box<dyn Model>, Vec<String>)> {
        let mut model = Bert::new(classes, seed, device, options)?;
        self.recomputing(&mut model)?;
        let Notice { mut fresh, unknown, classes_left_out, mut notes, .. } = model
            .read_pretrained(init)
            .with_context(|| format!("{} does not fit the config.json beside it", init.display()))?;
        notes.extend(options.config.notes().iter().cloned());
        if let Some(of_file) = classes_left_out {
            let name = model.classifier();
            fresh.retain(|variable| !variable.starts_with(name));
            notes.push(left_out(init, name, of_file, classes));
        }
        if !fresh.is_empty() {
            notes.push(format!("not in {}, so drawn from the seed: {}", init.display(), fresh.join(", ")));
        }
        if !unknown.is_empty() {
            notes.push(format!("left aside of {}: {}", init.display(), unknown.join(", ")));
        }
        Ok((Box::new(model), notes))
    }

    /// What became of the weights that the models start from; nothing where none were asked for.
    ///
    /// # Errors
    /// As [`started`](Self::started), where no model was started yet.
    pub(crate) fn notes(&self, classes: usize, seed: u64, device: &Device) -> Result<Vec<String>> {
        match (&self.init, self.notes.get()) {
            (_, Some(notes)) => Ok(notes.clone()),
            (None, None) => Ok(self.absent.iter().cloned().collect()),
            (Some(_), None) => Ok(self.started(classes, seed, device)?.1),
        }
    }

    /// What a user should know of the weights that a run starts from; drawn ones need no look.
    ///
    /// # Errors
    /// When the model cannot start as the settings say.
    pub(crate) fn check(&self, classes: usize, seed: u64, device: &Device) -> Result<Vec<String>> {
        if self.init.is_none() && !self.recompute { Ok(Vec::new()) } else { Ok(self.started(classes, seed, device)?.1) }
    }

    /// Whether a model of images `(channels, height, width)` can train on a batch of one.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn train_on_one(
        &self,
        (channels, height, width): (usize, usize, usize),
        classes: usize,
        device: &Device,
    ) -> Result<()> {
        let image = Tensor::zeros((1, channels, height, width), DType::F32, device)?;
        self.drawn(classes, 0, device)?.encode(&Inputs::Images(image), Mode::Train { seed: 0 })?;
        Ok(())
    }

    /// What stands in `config.json` beside the weights of a model that was trained for these classes, so that others load it:
    /// under the names of timm, or those of transformers.
    ///
    /// # Errors
    /// When the checkpoint's own `config.json` cannot be read again.
    pub(crate) fn config(&self, model: &dyn Model, classes: &[String]) -> Result<serde_json::Value> {
        let (Some(_), Some(init)) = (&self.text, &self.init) else {
            return Ok(serde_json::json!({
                "architecture": self.name,
                "num_classes": model.classes(),
                "num_features": model.dim(),
                "label_names": classes,
            }));
        };
        let path = folder(init).join("config.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        if let Some(fields) = config.as_object_mut() {
            let numbered = || classes.iter().enumerate();
            let by_number: BTreeMap<String, &String> = numbered().map(|(i, name)| (i.to_string(), name)).collect();
            let by_name: BTreeMap<&String, usize> = numbered().map(|(i, name)| (name, i)).collect();
            fields.insert("id2label".to_owned(), serde_json::json!(by_number));
            fields.insert("label2id".to_owned(), serde_json::json!(by_name));
        }
        Ok(config)
    }

    /// Copy what belongs to a checkpoint of text besides its weights into the folder of a run: what reads its weights needs
    /// them. `tokenizer` is the one that the run's texts have, a folder or a file; none of images.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn copy_beside(&self, tokenizer: Option<&Path>, run: &Path) -> Result<()> {
        let (Some(_), Some(init)) = (&self.text, &self.init) else { return Ok(()) };
        copy(&folder(init).join("config.json"), &run.join("config.json"))?;
        match tokenizer {
            Some(file) if !file.is_dir() => {
                let is_json = file.extension().is_some_and(|extension| extension == "json");
                copy(file, &run.join(if is_json { "tokenizer.json" } else { "vocab.txt" }))?;
                copy(&file.with_file_name("tokenizer_config.json"), &run.join("tokenizer_config.json"))
            }
            other => {
                let from = other.unwrap_or(folder(init));
                TOKENIZER.iter().try_for_each(|name| copy(&from.join(name), &run.join(name)))
            }
        }
    }

    fn recomputing(&self, model: &mut dyn Model) -> Result<(), UsageError> {
        if !self.recompute {
            return Ok(());
        }
        model.recompute_activations().map_err(|error| UsageError(format!("checkpoint_activations = true: {error}")))
    }
}

/// An error with the weights of a folder, which holds others that may be meant.
fn of_several(init: &Path, error: anyhow::Error) -> anyhow::Error {
    match weights::find(init).ok().flatten().and_then(|found| found.passed_over()) {
        None => error,
        Some(others) => anyhow!("{}\n  hint: {others}; name the one that is meant with --init", shown(&error)),
    }
}

fn left_out(init: &Path, name: &str, of_file: usize, classes: usize) -> String {
    format!(
        "of {}: the classifier `{name}` is for {of_file} classes and left out; that for the {classes} here is drawn from the \
         seed",
        init.display()
    )
}

fn text_options(name: &str, init: Option<&Path>, settings: &ModelSettings) -> Result<TextOptions> {
    let Some(init) = init else {
        return Err(UsageError(format!(
            "model `{name}` has the sizes that the config.json of a checkpoint says, and no checkpoint is given\n  hint: \
             --init DIR, with config.json, tokenizer.json or vocab.txt, and {WEIGHTS}"
        ))
        .into());
    };
    let mut options = TextOptions::new(BertConfig::read(&folder(init).join("config.json"))?);
    options.pooling = settings.pooling;
    let patterns = settings.freeze.split([',', ' ']);
    options.freeze = patterns.filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect();
    Ok(options)
}

/// Copy a file, where there is one.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        cnc_base::files::write_atomically(to, &bytes)?;
    }
    Ok(())
}
