//! `cnc-train evaluate`

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use super::open_manifest;
use crate::evaluate::{View, predict, summarise};
use crate::methods::find;
use crate::network::Network;
use crate::recipe::of_method_and_model;
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
    let mut config: RunConfig =
        toml::from_str(&text).map_err(|e| anyhow!("{}: {}", path.display(), e.to_string().trim()))?;
    let device = device::open(&arguments.device)?;
    let manifest = open_manifest(&config.dataset)?;
    // The run has copies of what belongs to a model of text.
    let (of_method, of_model) = of_method_and_model(&config.settings);
    let network = Network::new(&config.model, Some(&arguments.run), &of_model)?;
    if network.is_text() {
        config.data.tokenizer = Some(arguments.run.clone());
    }
    let dataset = config.data.open(manifest, config.limit, config.seed)?;
    let method = (find(&config.method)?.build)(&of_method)?;
    let model = method.model(network.drawn(dataset.classes.len(), config.seed, &device)?)?;
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
