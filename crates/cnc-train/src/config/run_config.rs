//! Every setting in force, as `config.toml` of a run holds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cnc_data::{Dataset, Split};
use crc::{CRC_64_XZ, Crc};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::data::DataSettings;
use super::encoder::EncoderRun;
use super::selection::Selection;

/// Every setting in force: enough to repeat the run (`--config` takes this file).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    /// Version of the program.
    pub version: String,
    /// Name of the dataset, or path of its manifest.
    pub dataset: String,
    /// Name of the method.
    pub method: String,
    /// Name of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Compute threads.
    pub threads: usize,
    /// Selection rule.
    pub select: Selection,
    /// First N samples of each split.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
    /// Weights that the models start from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<PathBuf>,
    /// Folder of the run whose model the method begins with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encoder: Option<PathBuf>,
    /// What is known of that run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encoder_run: Option<EncoderRun>,
    /// SHA-256 of their files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init_sha256: Option<String>,
    /// Where the data are, and what of them is accepted.
    #[serde(skip_serializing_if = "DataSettings::is_default", default)]
    pub data: DataSettings,
    /// What each split held when the run was started.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub rows: BTreeMap<String, String>,
    /// The method's settings.
    pub settings: Table,
}

impl RunConfig {
    /// The folder of the run, where none is named.
    #[must_use]
    pub(crate) fn default_folder(&self, dataset: &str) -> PathBuf {
        let on = self.encoder_run.as_ref().map(|run| format!("-on-{}", run.method)).unwrap_or_default();
        Path::new("runs").join(format!("{dataset}-{}{on}-{}", self.method, self.seed))
    }

    /// What a run has to be gone on with, as a table: all settings but those that say where something is, which may have
    /// moved (`rows` and `init_sha256` say what it is), and the number of threads, on which no result depends.
    ///
    /// # Errors
    /// When a setting cannot be written.
    pub(crate) fn identity(&self) -> Result<Table, toml::ser::Error> {
        Ok(without_places(Table::try_from(self)?))
    }

    /// These settings for a run on this dataset.
    #[must_use]
    pub(crate) fn on(&self, dataset: &Dataset) -> Self {
        let splits = [&dataset.train, &dataset.validation, &dataset.test];
        let rows = splits.map(|split| (split.name().as_str().to_owned(), held(split)));
        Self { rows: rows.into(), ..self.clone() }
    }
}

/// The table of a `config.toml` without what [`RunConfig::identity`] leaves out.
#[must_use]
pub(crate) fn without_places(mut config: Table) -> Table {
    config.retain(|key, _| !["dataset", "init", "encoder", "threads"].contains(&key));
    if let Some(Value::Table(data)) = config.get_mut("data") {
        data.retain(|key, _| !["folder", "tokenizer"].contains(&key));
    }
    config.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    config
}

/// The number of rows of a split, and a checksum of what they hold: other rows have another one, and the same rows in
/// another place do not.
fn held(split: &Split) -> String {
    static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);
    let mut checksum = CRC.digest();
    split.tell(&mut |bytes| checksum.update(bytes));
    format!("{} rows, {:016x}", split.len(), checksum.finalize())
}
