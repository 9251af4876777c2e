//! The manifest as it is written: types only, nothing checked.

use serde::Deserialize;

use super::model::SplitName;
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
    pub(super) attributes: Option<Attributes>,
    pub(super) colour: Option<Colour>,
    pub(super) splits: Splits,
    pub(super) join: Option<Join>,
    pub(super) transform: Option<Transform>,
    pub(super) archive: Option<Archive>,
}

/// The same data in another layout, for a folder that the user names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Archive {
    pub(super) input: Input,
    pub(super) class: Column,
    pub(super) attribute: Option<Column>,
    pub(super) splits: Splits,
    pub(super) join: Option<Join>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Image,
    Text,
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
    pub(super) folder: Option<String>,
    pub(super) max_length: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Labels {
    pub(super) column: String,
    pub(super) names: Vec<String>,
    /// For each name a cell or a list of cells.
    pub(super) values: Option<Vec<toml::Value>>,
    pub(super) threshold: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attributes {
    pub(super) columns: Vec<String>,
    pub(super) names: Option<Vec<String>>,
    /// One for all, or one for each.
    pub(super) threshold: toml::Value,
    pub(super) none: Option<String>,
    pub(super) any: Option<String>,
}

/// A column whose names stand elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) column: String,
    pub(super) values: Option<Vec<toml::Value>>,
}

/// A table with further columns of the same rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    pub(super) file: String,
    pub(super) columns: Option<Vec<String>>,
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
    pub(super) keep_together: Option<String>,
    pub(super) stratify: Option<bool>,
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
    pub(super) groups: Option<Vec<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transform {
    pub(super) square: Option<bool>,
    pub(super) resize: Option<u32>,
    pub(super) crop: Option<u32>,
    pub(super) augment: Option<Augment>,
    pub(super) scale: Option<[f64; 2]>,
    pub(super) ratio: Option<[f64; 2]>,
    pub(super) flip: Option<bool>,
    pub(super) mean: Option<[f64; 3]>,
    pub(super) std: Option<[f64; 3]>,
}

/// What training draws.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Augment {
    None,
    Crop,
    ResizedCrop,
}
