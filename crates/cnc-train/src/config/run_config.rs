//! Every setting in force, as `config.toml` of a run holds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cnc_data::{Dataset, Split};
use crc::{CRC_64_XZ, Crc};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::data::DataSettings;
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
        Path::new("runs").join(format!("{dataset}-{}-{}", self.method, self.seed))
    }

    /// These settings for a run on this dataset.
    #[must_use]
    pub(crate) fn on(&self, dataset: &Dataset) -> Self {
        let splits = [&dataset.train, &dataset.validation, &dataset.test];
        let rows = splits.map(|split| (split.name().as_str().to_owned(), held(split)));
        Self { rows: rows.into(), ..self.clone() }
    }
}

/// The number of rows of a split, and a checksum of their classes, attributes and texts: other rows have another one.
fn held(split: &Split) -> String {
    static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);
    let mut checksum = CRC.digest();
    for of_rows in [split.labels(), split.attributes()] {
        of_rows.iter().for_each(|number| checksum.update(&number.to_le_bytes()));
    }
    for text in (0..split.len() as u32).map_while(|row| split.text(row)) {
        checksum.update(&(text.len() as u64).to_le_bytes());
        checksum.update(text.as_bytes());
    }
    format!("{} rows, {:016x}", split.len(), checksum.finalize())
}
