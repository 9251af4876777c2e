//! `cnc-train <dataset>`: one run, from data to report.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use clap::Args;
use cnc_data::{Dataset, HubCache, Manifest};
use cnc_models::Model;
use cnc_models::weights::Head;
use cnc_nn::files::write_atomically;
use toml::Table;

use super::check::few_samples;
use super::open_manifest;
use crate::data::DataSettings;
use crate::error::{UsageError, did_you_mean};
use crate::methods::{MethodInfo, find};
use crate::recipe::{Recipe, of_method, parse_assignment};
use crate::report::{RunRecord, render};
use crate::results::Results;
use crate::run::{Run, TrainedStage, prepare};
use crate::run_folder::{RunConfig, RunFolder};
use crate::seeds::Seeds;
use crate::selection::Selection;
use crate::story::{StageView, Story, TrainingView};
use crate::{device, story, table};

/// The file of a model repository that has its weights.
const WEIGHTS: &str = "model.safetensors";

/// What to train, and where to put it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of a built-in dataset (see `cnc-train datasets`), or path of a manifest of your own.
    #[arg(required_unless_present = "config")]
    dataset: Option<String>,
    /// Method (see `cnc-train methods`) [default: cnc]
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Seed of everything that is drawn: splits, colours, weights, batches [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Model [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// auto, cpu, cuda, cuda:1, metal [default: auto]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Folder of the run [default: runs/<dataset>-<method>-<seed>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Settings from a file, for example the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting of the method's recipe, for example temperature=0.1 or optimizer.learning_rate=1e-3
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Which checkpoint counts, by its figure on validation [default: worst-group]
    #[arg(long, value_enum, value_name = "RULE")]
    select: Option<Selection>,
    /// Go on with the run in the folder.
    #[arg(long)]
    resume: bool,
    /// Start from these weights (.safetensors, or a state dict of PyTorch's) instead of drawn ones.
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// The first N samples of each split only, for a smoke run.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    data: DataSettings,
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
    #[serde(default)]
    settings: Table,
}

/// Train.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    if cfg!(debug_assertions) {
        eprintln!("note: this is a debug build, several times slower; use `cargo run --release`");
    }
    let (config, info, manifest) = configure(arguments)?;
    let (settings, checkpoint_activations) = of_method(&config.settings);
    let method = (info.build)(&settings)?;
    let device = device::open(&config.device)?;
    let dataset = config.data.open(manifest, config.limit, config.seed)?;
    describe(&config, &dataset);
    check_model(&config, &dataset, checkpoint_activations, &device)?;
    let path = arguments.out.clone().unwrap_or_else(|| default_folder(&dataset.name, &config));
    let folder = RunFolder::open(&path, &config, arguments.resume)?;
    let run = Run {
        dataset,
        model: config.model.clone(),
        init: config.init.clone(),
        checkpoint_activations,
        device,
        seeds: Seeds::new(config.seed),
        selection: config.select,
        folder,
        stop: stop_on_signal()?,
    };
    let trained = || -> Result<Results> {
        let stages = method.run(&run)?;
        let results = results(&run, &config, info, &stages, start)?;
        finish(&run, &stages, &results)?;
        Ok(results)
    };
    let results = trained().map_err(|error| with_remedy_for_a_full_disk(error, run.folder.path()))?;
    println!("{}", table::text(&results));
    println!("report: {}", run.folder.file("report.html").display());
    Ok(())
}

/// What is there to be done about a disk that filled up while the run was written.
fn with_remedy_for_a_full_disk(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let full = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| {
        matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
    });
    if !full {
        return error;
    }
    anyhow!(
        "{}\n  hint: what {} holds is good up to the last checkpoint; make room, then go on with the same command and `--resume`",
        super::shown(&error),
        folder.display()
    )
}

/// Put together what the command line, a configuration file and the recipe say.
fn configure(arguments: &Arguments) -> Result<(RunConfig, &'static MethodInfo, Manifest)> {
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
    for assignment in &arguments.set {
        given.push((format!("--set {assignment}"), parse_assignment(assignment)?));
    }
    let model = match arguments.model.clone().or(file.model) {
        Some(model) => model,
        None => recipe.model()?.to_owned(),
    };
    if !cnc_models::names().contains(&model.as_str()) {
        let hint = did_you_mean(&model, cnc_models::names().iter().copied());
        return Err(
            UsageError(format!("unknown model `{model}`{hint}\n  models: {}", cnc_models::names().join(", "))).into()
        );
    }
    let init = match arguments.init.clone().or(file.init) {
        None if recipe.model().is_ok_and(|name| name == model) => recipe_weights(&manifest)?,
        given => given,
    };
    let opened = device::open(arguments.device.as_deref().or(file.device.as_deref()).unwrap_or("auto"))?;
    let config = RunConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dataset,
        method: info.name.to_owned(),
        model,
        seed: arguments.seed.or(file.seed).unwrap_or(0),
        device: device::name(&opened),
        threads: rayon::current_num_threads(),
        select: arguments.select.or(file.select).unwrap_or(Selection::WorstGroup),
        limit: arguments.limit.or(file.limit),
        init,
        data: arguments.data.clone().or(file.data).absolute()?,
        settings: recipe.settings(info.name, &given)?,
    };
    Ok((config, info, manifest))
}

/// The weights that the dataset's recipe names, where they are on this machine.
fn recipe_weights(manifest: &Manifest) -> Result<Option<PathBuf>> {
    let Some(repository) = manifest.weights()? else { return Ok(None) };
    match HubCache::from_env().find_in(&repository, WEIGHTS) {
        Ok(path) => Ok(Some(path)),
        Err(problem) => {
            let name = repository.name;
            eprintln!(
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
fn recipe_of(manifest: &Manifest) -> Result<Recipe> {
    let general = Recipe::parse("general recipe", include_str!("../../../../datasets/recipe.toml"))?;
    Ok(match manifest.recipe()? {
        None => general,
        Some(own) => general.overlaid(&Recipe::parse(&own.file, &own.text)?)?,
    })
}

fn default_folder(dataset: &str, config: &RunConfig) -> PathBuf {
    Path::new("runs").join(format!("{dataset}-{}-{}", config.method, config.seed))
}

fn describe(config: &RunConfig, dataset: &Dataset) {
    eprintln!(
        "{}: {} training, {} validation, {} test samples; {} classes, {} groups",
        dataset.name,
        dataset.train.len(),
        dataset.validation.len(),
        dataset.test.len(),
        dataset.classes.len(),
        dataset.train.groups().len()
    );
    eprintln!(
        "method {}, model {}, seed {}, device {} (f32), {} threads",
        config.method, config.model, config.seed, config.device, config.threads
    );
    match &config.init {
        Some(path) => eprintln!("starting from the weights in {}", path.display()),
        None => eprintln!("starting from scratch: weights are drawn from the seed"),
    }
    for warning in few_samples(dataset) {
        eprintln!("warning: {warning}");
    }
}

/// Whether the model is one that can start as the run says, before the run has a folder; and what of its weights is left
/// out.
fn check_model(config: &RunConfig, dataset: &Dataset, checkpoint_activations: bool, device: &Device) -> Result<()> {
    if config.init.is_none() && !checkpoint_activations {
        return Ok(());
    }
    let mut model = cnc_models::build(&config.model, dataset.classes.len(), config.seed, device)?;
    if let Head::LeftOut { classes } = prepare(&mut *model, config.init.as_deref(), checkpoint_activations)? {
        let (head, here) = (model.classifier(), dataset.classes.len());
        eprintln!(
            "note: their classifier `{head}` is for {classes} classes and left out; that for the {here} here is drawn from the seed"
        );
    }
    Ok(())
}

/// A flag that Ctrl-C and SIGTERM set; a second signal ends the process at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; press again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

fn results(
    run: &Run,
    config: &RunConfig,
    info: &MethodInfo,
    stages: &[TrainedStage],
    start: Instant,
) -> Result<Results> {
    let last = &stages.last().ok_or_else(|| anyhow!("method `{}` trained no stage", info.name))?.result;
    // This process may have gone on with what others trained.
    let of_stages: f64 = stages.iter().map(|stage| stage.result.duration_s).sum();
    Ok(Results {
        version: config.version.clone(),
        dataset: run.dataset.name.clone(),
        method: config.method.clone(),
        model: config.model.clone(),
        seed: config.seed,
        device: config.device.clone(),
        threads: config.threads,
        limit: config.limit,
        skipped_rows: run.dataset.skipped.len() as u64,
        duration_s: start.elapsed().as_secs_f64().max(of_stages),
        label_budget: info.label_budget(config.select).to_owned(),
        selection_rule: config.select.rule().to_owned(),
        selected: last.selected.clone(),
        val: last.val.clone(),
        test: last.test.clone(),
        stages: stages.iter().map(|stage| stage.result.clone()).collect(),
    })
}

/// Collect the pictures of the report.
fn tell(run: &Run, stages: &[TrainedStage]) -> Result<Story> {
    let views: Vec<StageView<'_>> = stages
        .iter()
        .map(|stage| StageView {
            title: &stage.result.title,
            test: &stage.test,
            worst_group: stage.result.test.worst_group.as_deref(),
        })
        .collect();
    let training = stages.iter().find_map(|stage| {
        let training = stage.training.as_ref()?;
        Some(TrainingView { title: &stage.result.title, train: &training.predictions, batch: &training.batch })
    });
    Ok(story::collect(&run.dataset, &views, training)?)
}

/// What `model.safetensors` is the weights of, under the names that timm uses.
fn model_config(run: &Run, model: &dyn Model) -> Result<String> {
    let config = serde_json::json!({
        "architecture": run.model,
        "num_classes": model.classes(),
        "num_features": model.dim(),
        "label_names": run.dataset.classes,
    });
    Ok(serde_json::to_string_pretty(&config)? + "\n")
}

/// Write the model, the report and, last of all, the results.
fn finish(run: &Run, stages: &[TrainedStage], results: &Results) -> Result<()> {
    let last = stages.last().context("no stage was trained")?;
    last.model.parameters().save(&run.folder.file("model.safetensors"))?;
    write_atomically(&run.folder.file("config.json"), model_config(run, &*last.model)?.as_bytes())?;
    let story = tell(run, stages)?;
    write_atomically(&run.folder.file("story.json"), serde_json::to_string(&story)?.as_bytes())?;
    let record = RunRecord::of_run(run.folder.path(), results.clone(), Some(story))?;
    write_atomically(&run.folder.file("report.html"), render(&[record]).as_bytes())?;
    run.folder.write_results(results)
}
