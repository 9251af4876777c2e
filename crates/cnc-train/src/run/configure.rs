//! From what is asked for to a run that is ready to start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use cnc_data::HubCache;
use cnc_models::{Kind, Registry, weights};
use toml::Table;

use super::encoder::encoder_of;
use super::job::Job;
use super::source::Source;
use crate::config::asked::Asked;
use crate::config::device;
use crate::config::encoder::EncoderRun;
use crate::config::given::idle;
use crate::config::network::{self, WEIGHTS};
use crate::config::recipe::layers;
use crate::config::run_config::RunConfig;
use crate::config::selection::Selection;
use crate::error::UsageError;
use crate::methods::Known;
use cnc_base::names::did_you_mean;

/// Put together what is asked for and what the recipe says. `file` is where the settings of a file are from.
///
/// # Errors
/// When a name is unknown, a setting is not valid, or a file is missing.
pub(crate) fn configure(asked: Asked, file: &str, source: &Source, known: &Known) -> Result<Job> {
    let given = asked.given(file)?;
    let options = asked.options;
    let info = known.methods.find(asked.method.as_deref().unwrap_or("cnc"))?;
    let recipe = source.recipe(&known.methods)?;
    let model = match options.model {
        Some(model) => model,
        None => recipe.model()?.to_owned(),
    };
    check_model(&model, &known.models, source)?;
    let of_data = source.is_text();
    let encoder_run = options.encoder.as_deref().map(|run| encoder_of(run, &model)).transpose()?;
    let given_init = match &options.encoder {
        Some(run) => Some(EncoderRun::init(run, of_data)),
        None => options.init,
    };
    let (init, absent) = match given_init {
        None if recipe.model().is_ok_and(|name| name == model) => recipe_weights(source)?,
        given => (given, None),
    };
    if let Some(path) = init.as_ref().filter(|path| std::fs::symlink_metadata(weights::apart(path).0).is_err()) {
        return Err(anyhow!("--init {}: there is no such file, nor a folder with config.json", path.display()));
    }
    if let (false, Some(init)) = (of_data, &init) {
        let found = weights::find(init).with_context(|| format!("--init {}", init.display()))?;
        if found.is_none() {
            return Err(anyhow!(
                "--init {}: there is no {WEIGHTS} in this folder; name a file of weights",
                init.display()
            ));
        }
    }
    if options.limit == Some(0) {
        return Err(UsageError("--limit 0 leaves no sample: expected a whole number of at least 1".to_owned()).into());
    }
    let mut data = options.data;
    if let (true, None, Some(init)) = (of_data, &data.tokenizer, &init) {
        data.tokenizer = Some(network::folder(init).to_owned());
    }
    let opened = device::open(options.device.as_deref().unwrap_or("auto"))?;
    let settings = recipe.settings(info.name, &given)?;
    let [of_file, of_sets] = layers(&given);
    let idle = idle(&settings, &recipe.settings(info.name, &[])?, &tables(of_file), &tables(of_sets));
    let config = RunConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dataset: asked.dataset.unwrap_or_else(|| source.name().to_owned()),
        method: info.name.to_owned(),
        model,
        seed: asked.seed.unwrap_or(0),
        device: device::name(&opened),
        threads: rayon::current_num_threads(),
        select: options.select.unwrap_or(Selection::WorstGroup),
        limit: options.limit,
        init,
        encoder: options.encoder.map(std::path::absolute).transpose().context("the current folder cannot be found")?,
        encoder_run,
        init_sha256: None,
        data: data.absolute()?,
        rows: BTreeMap::new(),
        settings,
    };
    Job::new(config, info, known.models.clone(), idle, absent)
}

fn tables(layer: &[(String, Table)]) -> Vec<&Table> {
    layer.iter().map(|(_, table)| table).collect()
}

/// Refuse a model that is unknown, or that takes other inputs than the data are.
fn check_model(model: &str, models: &Registry, source: &Source) -> Result<(), UsageError> {
    let Ok(of_model) = models.kind(model).map(|kind| kind == Kind::Text) else {
        let names: Vec<&str> = models.names().collect();
        let hint = did_you_mean(model, names.iter().copied());
        return Err(UsageError(format!("unknown model `{model}`{hint}\n  models: {}", names.join(", "))));
    };
    let kind = |is_text| if is_text { "text" } else { "images" };
    if of_model == source.is_text() {
        return Ok(());
    }
    Err(UsageError(format!(
        "model `{model}` takes {}, and {} holds {}: choose another with --model",
        kind(of_model),
        source.name(),
        kind(source.is_text())
    )))
}

/// The weights that the dataset's recipe names, or why they are not on this machine.
fn recipe_weights(source: &Source) -> Result<(Option<PathBuf>, Option<String>)> {
    let Some(repository) = source.weights()? else { return Ok((None, None)) };
    Ok(match HubCache::from_env().find_in(&repository, WEIGHTS) {
        Ok(path) => (Some(path), None),
        Err(problem) => {
            let name = repository.name;
            let absent = format!(
                "the recipe starts from the weights of {name}, which are not on this machine ({problem}; `cargo xtask \
                 fetch {name}` fetches them): drawn at random from the seed"
            );
            (None, Some(absent))
        }
    })
}
