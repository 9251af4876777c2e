//! The manifest as it is written: types only, nothing checked.

use serde::Deserialize;

use super::SplitName;
use crate::colour::HeldOut;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) seed: Option<u64>,
    pub(super) source: Option<Source>,
    pub(super) input: Input,
    pub(super) class: Labels,
    pub(super) attribute: Option<Labels>,
    pub(super) colour: Option<Colour>,
    pub(super) splits: Splits,
    #[serde(default)]
    pub(super) transform: Transform,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Image,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) hub: String,
    pub(super) revision: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) column: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Labels {
    pub(super) column: String,
    pub(super) names: Vec<String>,
    /// For each name a cell or a list of cells.
    pub(super) values: Option<Vec<toml::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Colour {
    pub(super) names: Vec<String>,
    pub(super) rgb: Vec<String>,
    pub(super) threshold: u8,
    pub(super) probability: f64,
    pub(super) validation: HeldOut,
    pub(super) test: HeldOut,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Splits {
    pub(super) column: Option<String>,
    pub(super) files: Option<Vec<String>>,
    pub(super) train: Split,
    pub(super) validation: Split,
    pub(super) test: Split,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Split {
    pub(super) files: Option<Vec<String>>,
    pub(super) values: Option<Vec<toml::Value>>,
    pub(super) of: Option<SplitName>,
    pub(super) fraction: Option<f64>,
    pub(super) rows: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transform {
    pub(super) resize: Option<u32>,
    pub(super) crop: Option<u32>,
    pub(super) mean: Option<[f64; 3]>,
    pub(super) std: Option<[f64; 3]>,
}
