//! A checked manifest, and what it says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::colour::{Correlation, HeldOut};
use crate::hub::{HubRepository, is_repository};
use crate::image::transform::Transform;
use crate::table::Cell;
use crate::{DataError, builtin};

/// A checked manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What messages call the manifest.
    pub(crate) file: String,
    pub(crate) folder: Folder,
    pub(crate) name: String,
    /// `None` leaves splits and colours to the seed of whoever opens the dataset.
    pub(crate) seed: Option<u64>,
    pub(crate) source: Source,
    /// What is in the files of `source`.
    pub(crate) layout: Layout,
    /// What is in the folder of the authors' files, as far as the manifest knows one.
    pub(super) archive: Option<Layout>,
    pub(crate) content: Content,
}

/// What the rows hold, and what is done with it.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Images(Transform),
    Texts(TextRules),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextRules {
    /// Tokens of the longest text, those that the tokenizer adds among them.
    pub(crate) max_length: usize,
}

/// What files there are and what their columns mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) input: Input,
    pub(crate) class: Labels,
    pub(crate) attribute: Attribute,
    pub(crate) splits: Splits,
    pub(crate) join: Option<Join>,
}

/// Where the images of a row are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) column: String,
    /// The folder of the files that the column names.
    pub(crate) folder: Option<String>,
}

/// A table with further columns of the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) file: String,
    /// Names of its columns where it has no header.
    pub(crate) columns: Option<Vec<String>>,
}

/// Where a manifest is, and what lies beside it.
#[derive(Debug, Clone)]
pub(crate) enum Folder {
    BuiltIn(&'static builtin::BuiltIn),
    Disk { manifest: PathBuf, folder: PathBuf },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The files lie beside the manifest.
    Beside,
    Hub {
        repository: String,
        revision: String,
    },
    /// The files lie in a folder that the user named.
    Named(PathBuf),
}

/// A column whose cells have names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels {
    pub(crate) column: String,
    pub(crate) names: Vec<String>,
    pub(crate) rule: Rule,
}

impl Labels {
    /// The name that a cell stands for, and the value that it has it by.
    ///
    /// What a cell means does not depend on the file's type or on the order of the names: names match names first, and numbers count
    /// through the names only where no name is a number or a truth value itself.
    pub(crate) fn find(&self, cell: &Cell) -> Option<(u32, Cell)> {
        let Rule::Values { values, listed } = &self.rule else { return None };
        let value = cell.value();
        let known = |value: Cell| values.get(&value).map(|index| (*index, value));
        if let Some(found) = known(value.clone()) {
            return Some(found);
        }
        let counterpart = value.counterpart();
        if *listed {
            return counterpart.and_then(known);
        }
        let position = if let Cell::Truth(_) = value { counterpart? } else { value };
        match position {
            Cell::Integer(position) if self.names_are_words() && !(position < 2 && self.reads_backwards()) => {
                let index = u32::try_from(position).ok().filter(|index| (*index as usize) < self.names.len())?;
                Some((index, Cell::Integer(position)))
            }
            _ => None,
        }
    }

    /// Whether the value that [`Labels::find`] gives counts through the names, and is none itself.
    pub(crate) fn is_number_of_name(&self, value: &Cell) -> bool {
        matches!(&self.rule, Rule::Values { values, .. } if !values.contains_key(value))
    }

    /// Whether a cell could be a name as well as a number of one: 1 where the names are true and false, or yes and no.
    pub(crate) fn is_ambiguous(&self, cell: &Cell) -> bool {
        let Rule::Values { values, listed: false } = &self.rule else { return false };
        cell.value().counterpart().is_some_and(|other| values.contains_key(&other) || self.reads_backwards())
    }

    /// Whether the first of two names says yes, or the second no: then 1 and true, by their number the second, could mean the first.
    fn reads_backwards(&self) -> bool {
        const YES: [&str; 9] = ["yes", "y", "t", "on", "positive", "pos", "present", "correct", "good"];
        const NO: [&str; 9] = ["no", "n", "f", "off", "negative", "neg", "absent", "none", "bad"];
        let [first, second] = self.names.as_slice() else { return false };
        let (first, second) = (first.trim().to_lowercase(), second.trim().to_lowercase());
        let is_no = NO.contains(&second.as_str()) || second.starts_with("not ") || second.starts_with("no ");
        YES.contains(&first.as_str()) || is_no
    }

    /// The values that cells may have, for messages.
    pub(crate) fn known(&self) -> Vec<String> {
        let Rule::Values { values, listed } = &self.rule else { return Vec::new() };
        let positions = if !*listed && self.names_are_words() { 0..self.names.len() } else { 0..0 };
        positions.map(|position| position.to_string()).chain(values.keys().map(Cell::to_string)).collect()
    }

    /// Whether no name is a number or a truth value, so that numbers can be those of names.
    pub(crate) fn names_are_words(&self) -> bool {
        self.names.iter().all(|name| matches!(Cell::Text(name.clone()).value(), Cell::Text(_)))
    }
}

/// Which cell has which name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    Values {
        /// By their [`Cell::value`].
        values: BTreeMap<Cell, u32>,
        /// Whether the manifest lists the values; else they are the names, and 0, 1, ... where no name is a number.
        listed: bool,
    },
    /// Shares in [0, 1]: the second of two names from here on.
    Threshold(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    None,
    Column(Labels),
    Several(Several),
    Colour(Colouring),
}

/// Attributes of which a row may have any number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Several {
    pub(crate) columns: Vec<Share>,
    /// What a row without any of them is called, and one with any.
    pub(crate) summary: [String; 2],
}

/// A column of shares in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub(crate) column: String,
    pub(crate) name: String,
    /// A row has the attribute from here on.
    pub(crate) threshold: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Colouring {
    pub(crate) names: Vec<String>,
    pub(crate) rgb: Vec<[u8; 3]>,
    pub(crate) threshold: u8,
    pub(crate) train: Correlation,
    pub(crate) validation: HeldOut,
    pub(crate) test: HeldOut,
}

/// One of the three parts of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// Fitted on.
    Train,
    /// Selected on.
    Validation,
    /// Reported once.
    Test,
}

impl SplitName {
    /// All three, in the order of use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The split that people call so: `val`, `Training`, `dev`, ...
    #[must_use]
    pub fn called(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "train" | "training" | "tr" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }

    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Splits {
    /// The column of the splits, where that is how they are told apart.
    pub(crate) column: Option<String>,
    /// The files of that column.
    pub(crate) files: Vec<String>,
    /// The column whose rows of one value stay in one split: a patient's, a photographer's.
    pub(crate) keep_together: Option<String>,
    /// Whether fractions are drawn within each class and attribute.
    pub(crate) stratify: bool,
    pub(super) rules: [SplitRule; 3],
}

impl Splits {
    pub(crate) fn rule(&self, split: SplitName) -> &SplitRule {
        let [train, validation, test] = &self.rules;
        match split {
            SplitName::Train => train,
            SplitName::Validation => validation,
            SplitName::Test => test,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SplitRule {
    pub(crate) from: Origin,
    /// Expected number of rows.
    pub(crate) rows: Option<usize>,
    /// Expected number of rows of each class with each attribute.
    pub(crate) groups: Option<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    Files(Vec<String>),
    Values(Vec<Cell>),
    Fraction { of: SplitName, fraction: f64 },
}

/// The text of a file that belongs to a dataset, and what messages call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedText {
    /// The file.
    pub file: String,
    /// What is in it.
    pub text: String,
}

impl Manifest {
    /// The dataset's name: of run folders and in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the classes, by class index.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.layout.class.names
    }

    /// The names of the spurious attribute's values, by index. None where the manifest names no attribute; where it names
    /// several, what a row without any of them is called and one with any.
    #[must_use]
    pub fn attributes(&self) -> &[String] {
        match &self.layout.attribute {
            Attribute::None => &[],
            Attribute::Column(labels) => &labels.names,
            Attribute::Several(several) => &several.summary,
            Attribute::Colour(colouring) => &colouring.names,
        }
    }

    /// The model repository of the hub that the recipe's `weights` names, if it names one.
    ///
    /// # Errors
    /// The recipe cannot be read, or `weights` is no repository.
    pub fn weights(&self) -> Result<Option<HubRepository>, DataError> {
        let Some(recipe) = self.recipe()? else { return Ok(None) };
        let wrong = |problem: &str| {
            let problem = problem.to_string();
            DataError::Manifest { file: recipe.file.clone(), key: "weights".to_string(), problem }
        };
        let table: toml::Table = recipe.text.parse().map_err(|e: toml::de::Error| wrong(e.message()))?;
        match table.get("weights").map(toml::Value::as_str) {
            None => Ok(None),
            Some(Some(name)) if is_repository(name) => Ok(Some(HubRepository::model(name))),
            Some(_) => Err(wrong("must be the name of a model repository, \"owner/name\"")),
        }
    }

    /// The number of rows that a split is meant to have, if the manifest says it.
    #[must_use]
    pub fn expected_rows(&self, split: SplitName) -> Option<usize> {
        self.layout.splits.rule(split).rows
    }

    /// Whether the rows hold texts, for which a tokenizer is needed, and not images.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.content, Content::Texts(_))
    }

    /// The number of rows that each class with each attribute is meant to have in a split, if the manifest says it.
    #[must_use]
    pub fn expected_groups(&self, split: SplitName) -> Option<&[usize]> {
        self.layout.splits.rule(split).groups.as_deref()
    }

    /// The recipe.toml that lies beside the manifest, if there is one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn recipe(&self) -> Result<Option<NamedText>, DataError> {
        match &self.folder {
            Folder::BuiltIn(found) => {
                let file = format!("built-in recipe of {}", found.name);
                Ok(Some(NamedText { file, text: found.recipe.to_string() }))
            }
            Folder::Disk { folder, .. } => {
                let path = folder.join("recipe.toml");
                match std::fs::read_to_string(&path) {
                    Ok(text) => Ok(Some(NamedText { file: path.display().to_string(), text })),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(DataError::Io { path, source }),
                }
            }
        }
    }

    /// An error about one key of this manifest.
    pub(crate) fn error(&self, key: &str, problem: String) -> DataError {
        DataError::Manifest { file: self.file.clone(), key: key.to_string(), problem }
    }

    pub(crate) fn split_error(&self, split: SplitName, problem: String) -> DataError {
        DataError::Split { file: self.file.clone(), split: split.as_str(), problem }
    }
}
