//! One run, from checked settings to a finished folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use cnc_data::Dataset;
use cnc_nn::files::write_atomically;

use crate::error::shown;
use crate::methods::{Method, MethodInfo};
use crate::network::Network;
use crate::recipe::of_method_and_model;
use crate::report::{RunRecord, render};
use crate::results::Results;
use crate::run::{Run, TrainedStage};
use crate::run_folder::{Interface, PREDICTIONS, RunConfig, RunFolder};
use crate::say::note;
use crate::seeds::Seeds;
use crate::story::{StageView, Story, TrainingView};
use crate::{memory, story};

/// A run that is ready to start.
pub struct Job {
    /// Every setting in force.
    pub config: RunConfig,
    /// What is known of its method.
    pub info: &'static MethodInfo,
    method: Box<dyn Method>,
    network: Network,
}

impl Job {
    /// A run with these settings.
    ///
    /// # Errors
    /// When a setting of the method cannot be trained with, or the model cannot be built.
    pub fn new(config: RunConfig, info: &'static MethodInfo) -> Result<Self> {
        let (of_method, of_model) = of_method_and_model(&config.settings);
        let method = (info.build)(&of_method)?;
        let network = Network::new(&config.model, config.init.as_deref(), &of_model)?;
        Ok(Self { config, info, method, network })
    }

    /// Say on stderr what of the weights that the run starts from is left out.
    ///
    /// # Errors
    /// When the model cannot start as the settings say: before the run has a folder.
    pub fn check_model(&self, dataset: &Dataset, device: &Device) -> Result<()> {
        for note in self.network.check(dataset.classes.len(), self.config.seed, device)? {
            note!("note: {note}");
        }
        Ok(())
    }

    /// Train all stages, and write the model, the report and the results into the folder.
    ///
    /// # Errors
    /// When a stage cannot be trained, a file cannot be written, or a signal stopped the run.
    pub fn run(
        &self,
        dataset: Arc<Dataset>,
        device: Device,
        folder: RunFolder,
        stop: Arc<AtomicBool>,
    ) -> Result<Results> {
        let start = Instant::now();
        let run = Run {
            dataset,
            network: self.network.clone(),
            device,
            seeds: Seeds::new(self.config.seed),
            selection: self.config.select,
            limit: self.config.limit,
            folder,
            stop,
        };
        let trained = || -> Result<Results> {
            self.network.copy_beside(self.config.data.tokenizer.as_deref(), run.folder.path())?;
            let stages = self.method.run(&run)?;
            let results = self.results(&run, &stages, start)?;
            finish(&run, &stages, &results)?;
            Ok(results)
        };
        trained().map_err(|error| with_remedy_for_a_full_disk(error, run.folder.path()))
    }

    fn results(&self, run: &Run, stages: &[TrainedStage], start: Instant) -> Result<Results> {
        let (config, info) = (&self.config, self.info);
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
            peak_memory_bytes: memory::peak(),
            label_budget: info.label_budget(config.select).to_owned(),
            selection_rule: config.select.rule().to_owned(),
            selected: last.selected.clone(),
            val: last.val.clone(),
            test: last.test.clone(),
            stages: stages.iter().map(|stage| stage.result.clone()).collect(),
        })
    }
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
        shown(&error),
        folder.display()
    )
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

/// Write the model, its predictions, the report and, last of all, the results.
fn finish(run: &Run, stages: &[TrainedStage], results: &Results) -> Result<()> {
    let last = stages.last().context("no stage was trained")?;
    last.model.parameters().save(&run.folder.file("model.safetensors"))?;
    let config = run.network.config(&*last.model, &run.dataset.classes)?;
    let config = serde_json::to_string_pretty(&config)? + "\n";
    write_atomically(&run.folder.file("config.json"), config.as_bytes())?;
    let (classes, inputs) = (run.dataset.classes.clone(), run.dataset.preparation.clone());
    Interface { classes, inputs }.write(&run.folder)?;
    let test = Tensor::from_slice(&last.test.classes, last.test.classes.len(), &Device::Cpu)?;
    cnc_nn::files::save(&BTreeMap::from([("test".to_owned(), test)]), &run.folder.file(PREDICTIONS))?;
    let story = tell(run, stages)?;
    write_atomically(&run.folder.file("story.json"), serde_json::to_string(&story)?.as_bytes())?;
    let record = RunRecord::of_run(run.folder.path(), results.clone(), Some(story))?;
    write_atomically(&run.folder.file("report.html"), render(&[record]).as_bytes())?;
    run.folder.write_results(results)
}
