//! `cnc-train evaluate`

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use super::open_manifest;
use crate::evaluate::{View, predict, summarise};
use crate::methods::find;
use crate::recipe::of_method;
use crate::run_folder::RunConfig;
use crate::{device, table};

/// Which run, and which split.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train evaluate runs/digits-cnc-0
  cnc-train evaluate runs/digits-cnc-0 --split validation")]
pub(super) struct Arguments {
    /// Folder of a finished run.
    run: PathBuf,
    /// Split to evaluate.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// auto, cpu, cuda, cuda:1, metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

/// Evaluate the run's model and print its group table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let file = |name: &str| arguments.run.join(name);
    if !file("results.json").exists() {
        return Err(anyhow!(
            "{} holds no finished run\n  hint: finish it with the command that started it and `--resume`",
            arguments.run.display()
        ));
    }
    let path = file("config.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: RunConfig =
        toml::from_str(&text).map_err(|e| anyhow!("{}: {}", path.display(), e.to_string().trim()))?;
    let device = device::open(&arguments.device)?;
    let manifest = open_manifest(&config.dataset)?;
    let dataset = config.data.open(manifest, config.limit, config.seed)?;
    let (settings, _) = of_method(&config.settings);
    let method = (find(&config.method)?.build)(&settings)?;
    let model = method.model(cnc_models::build(&config.model, dataset.classes.len(), config.seed, &device)?)?;
    model.parameters().read(&file("model.safetensors"))?;
    let split = match arguments.split {
        SplitName::Train => &dataset.train,
        SplitName::Validation => &dataset.validation,
        SplitName::Test => &dataset.test,
    };
    let predictions = predict(&*model, split, View::Centre, &device)?;
    println!("{}", table::of_split(&summarise(&dataset, split, &predictions.classes)?));
    Ok(())
}
