//! `cnc-train <dataset>`: one run, from data to report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use cnc_data::{Dataset, HubCache, Manifest};
use toml::Table;

use super::check::few_samples;
use super::open_manifest;
use crate::data::DataSettings;
use crate::error::{UsageError, did_you_mean};
use crate::job::Job;
use crate::methods::find;
use crate::network::{self, WEIGHTS};
use crate::recipe::{Recipe, parse_assignment};
use crate::run_folder::{RunConfig, RunFolder};
use crate::say::{note, result};
use crate::selection::Selection;
use crate::{device, table};

/// What to train, and where to put it.
#[derive(Debug, Clone, Args)]
pub(super) struct Arguments {
    /// Name of a built-in dataset (see `cnc-train datasets`), or path of a manifest of your own.
    #[arg(required_unless_present = "config")]
    pub(super) dataset: Option<String>,
    /// Method (see `cnc-train methods`) [default: cnc]
    #[arg(long, value_name = "NAME")]
    pub(super) method: Option<String>,
    /// Seed of everything that is drawn: splits, colours, weights, batches [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) seed: Option<u64>,
    /// Folder of the run [default: runs/<dataset>-<method>-<seed>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Settings from a file, for example the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with the run in the folder.
    #[arg(long)]
    resume: bool,
    /// Train with every combination of values and keep the best on validation: --grid temperature=0.05,0.1
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    pub(super) grid: Vec<String>,
    #[command(flatten)]
    pub(super) options: Options,
}

/// What runs of every command have.
#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Model [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// auto, cpu, cuda, cuda:1, metal [default: auto]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// One setting of the method's recipe, for example temperature=0.1 or optimizer.learning_rate=1e-3
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Which checkpoint counts, by its figure on validation [default: worst-group]
    #[arg(long, value_enum, value_name = "RULE")]
    select: Option<Selection>,
    /// Start from these weights (.safetensors, or a state dict of PyTorch's) instead of drawn ones. Of text: the folder of a
    /// checkpoint, with config.json and the tokenizer.
    #[arg(long, value_name = "FILE|DIR")]
    init: Option<PathBuf>,
    /// A smoke run: the first N samples of each split only, and of CNC's second stage no steps or epochs that show more.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<usize>,
    #[command(flatten)]
    data: DataSettings,
}

impl Arguments {
    /// A run of a method with a seed.
    pub(super) fn of(dataset: &str, method: &str, seed: u64, options: Options) -> Self {
        Self {
            dataset: Some(dataset.to_owned()),
            method: Some(method.to_owned()),
            seed: Some(seed),
            out: None,
            config: None,
            resume: false,
            grid: Vec::new(),
            options,
        }
    }
}

/// A configuration file: what a run's `config.toml` holds, or a part of it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    /// Written by every run; a file of another version is read all the same.
    #[serde(rename = "version")]
    _version: Option<String>,
    dataset: Option<String>,
    method: Option<String>,
    model: Option<String>,
    seed: Option<u64>,
    device: Option<String>,
    #[serde(rename = "threads")]
    _threads: Option<usize>,
    select: Option<Selection>,
    limit: Option<usize>,
    init: Option<PathBuf>,
    #[serde(default)]
    data: DataSettings,
    /// Other data may be there now.
    #[serde(rename = "rows", default)]
    _rows: BTreeMap<String, String>,
    #[serde(default)]
    settings: Table,
}

/// Train.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    warn_of_debug_build();
    if !arguments.grid.is_empty() {
        return super::grid::run(arguments);
    }
    let (job, manifest) = configure(arguments)?;
    let config = &job.config;
    let device = device::open(&config.device)?;
    let dataset = Arc::new(config.data.open(manifest, config.limit, config.seed)?);
    describe(config, &dataset);
    job.check_model(&dataset, &device)?;
    let path = arguments.out.clone().unwrap_or_else(|| default_folder(&dataset.name, config));
    let folder = RunFolder::open(&path, &config.on(&dataset), arguments.resume)?;
    let results = job.run(dataset, device, folder, stop_on_signal()?)?;
    result!("{}", table::text(&results));
    result!("report: {}", path.join("report.html").display());
    Ok(())
}

pub(super) fn warn_of_debug_build() {
    if cfg!(debug_assertions) {
        note!("note: this is a debug build, several times slower; use `cargo run --release`");
    }
}

/// Put together what the command line, a configuration file and the recipe say.
pub(super) fn configure(arguments: &Arguments) -> Result<(Job, Manifest)> {
    let file = match &arguments.config {
        None => ConfigFile::default(),
        Some(path) => read_config(path)?,
    };
    let dataset = arguments
        .dataset
        .clone()
        .or(file.dataset)
        .ok_or_else(|| UsageError("no dataset: name one, or give a --config that does".to_owned()))?;
    let info = find(arguments.method.as_deref().or(file.method.as_deref()).unwrap_or("cnc"))?;
    let manifest = open_manifest(&dataset)?;
    let recipe = recipe_of(&manifest)?;
    let mut given = Vec::new();
    if let Some(path) = &arguments.config {
        given.push((path.display().to_string(), file.settings));
    }
    for assignment in &arguments.options.set {
        given.push((format!("--set {assignment}"), parse_assignment(assignment)?));
    }
    let model = match arguments.options.model.clone().or(file.model) {
        Some(model) => model,
        None => recipe.model()?.to_owned(),
    };
    if !cnc_models::names().contains(&model.as_str()) {
        let hint = did_you_mean(&model, cnc_models::names().iter().copied());
        return Err(
            UsageError(format!("unknown model `{model}`{hint}\n  models: {}", cnc_models::names().join(", "))).into()
        );
    }
    let kind = |is_text| if is_text { "text" } else { "images" };
    let (of_model, of_data) = (cnc_models::takes_text(&model)?, manifest.is_text());
    if of_model != of_data {
        return Err(UsageError(format!(
            "model `{model}` takes {}, and {} holds {}: choose another with --model",
            kind(of_model),
            manifest.name(),
            kind(of_data)
        ))
        .into());
    }
    let init = match arguments.options.init.clone().or(file.init) {
        None if recipe.model().is_ok_and(|name| name == model) => recipe_weights(&manifest)?,
        given => given,
    };
    if let Some(path) = init.as_ref().filter(|path| !path.exists()) {
        return Err(anyhow!("--init {}: there is no such file, nor a folder with config.json", path.display()));
    }
    if let Some(folder) = init.as_ref().filter(|path| !of_data && network::weights(path).is_none()) {
        return Err(anyhow!(
            "--init {}: there is no {WEIGHTS} in this folder; name a file of weights",
            folder.display()
        ));
    }
    let limit = arguments.options.limit.or(file.limit);
    if limit == Some(0) {
        return Err(UsageError("--limit 0 leaves no sample: expected a whole number of at least 1".to_owned()).into());
    }
    let mut data = arguments.options.data.clone().or(file.data);
    if let (true, None, Some(init)) = (of_data, &data.tokenizer, &init) {
        data.tokenizer = Some(network::folder(init).to_owned());
    }
    let opened = device::open(arguments.options.device.as_deref().or(file.device.as_deref()).unwrap_or("auto"))?;
    let config = RunConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dataset,
        method: info.name.to_owned(),
        model,
        seed: arguments.seed.or(file.seed).unwrap_or(0),
        device: device::name(&opened),
        threads: rayon::current_num_threads(),
        select: arguments.options.select.or(file.select).unwrap_or(Selection::WorstGroup),
        limit,
        init,
        data: data.absolute()?,
        rows: BTreeMap::new(),
        settings: recipe.settings(info.name, &given)?,
    };
    Ok((Job::new(config, info)?, manifest))
}

/// The weights that the dataset's recipe names, where they are on this machine.
fn recipe_weights(manifest: &Manifest) -> Result<Option<PathBuf>> {
    let Some(repository) = manifest.weights()? else { return Ok(None) };
    match HubCache::from_env().find_in(&repository, WEIGHTS) {
        Ok(path) => Ok(Some(path)),
        Err(problem) => {
            let name = repository.name;
            note!(
                "warning: the recipe starts from the weights of {name}, which are not on this machine ({problem}): fetch \
                 them with\n    cargo xtask fetch {name}"
            );
            Ok(None)
        }
    }
}

fn read_config(path: &Path) -> Result<ConfigFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read --config {}", path.display()))?;
    toml::from_str(&text)
        .map_err(|e| UsageError(format!("--config {}: {}", path.display(), e.to_string().trim())).into())
}

/// The general recipe, with the dataset's own laid over it.
pub(super) fn recipe_of(manifest: &Manifest) -> Result<Recipe> {
    let general = Recipe::parse("general recipe", include_str!("../../../../datasets/recipe.toml"))?;
    let general = if manifest.is_text() { general.for_text() } else { general };
    Ok(match manifest.recipe()? {
        None => general,
        Some(own) => general.overlaid(&Recipe::parse(&own.file, &own.text)?)?,
    })
}

pub(super) fn default_folder(dataset: &str, config: &RunConfig) -> PathBuf {
    Path::new("runs").join(format!("{dataset}-{}-{}", config.method, config.seed))
}

pub(super) fn describe(config: &RunConfig, dataset: &Dataset) {
    note!(
        "{}: {} training, {} validation, {} test samples; {} classes, {} groups",
        dataset.name,
        dataset.train.len(),
        dataset.validation.len(),
        dataset.test.len(),
        dataset.classes.len(),
        dataset.train.groups().len()
    );
    if dataset.train.groups() != dataset.train.training_groups() {
        let count = dataset.train.training_groups().len();
        note!("groups of evaluation overlap; methods that are told groups train on {count} that do not");
    }
    note!(
        "method {}, model {}, seed {}, device {} (f32), {} threads",
        config.method,
        config.model,
        config.seed,
        config.device,
        config.threads
    );
    match &config.init {
        Some(path) if network::weights(path).is_some() => {
            note!("starting from the weights in {}", path.display());
        }
        Some(_) | None => note!("starting from scratch: weights are drawn from the seed"),
    }
    for warning in few_samples(dataset) {
        note!("warning: {warning}");
    }
}

/// A flag that Ctrl-C and SIGTERM set; a second signal ends the process at once.
pub(super) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note!("\nstopping after this step; press again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
