//! What a dataset is, as data: a `dataset.toml`, checked once and then trusted.
//!
//! ```toml
//! name = "cmnist"                # names the run folder
//! kind = "image"                 # or "text"
//! seed = 0                       # of splits by fraction and of colours; the run's own where left out
//!
//! [source]                       # left out: the files lie beside the manifest
//! hub = "ylecun/mnist"           # a dataset repository of the Hugging Face hub
//! revision = "77f327..."         # a commit, or a branch or tag
//!
//! [input]
//! column = "image"               # of parquet: the images; of CSV and lists: their file names ...
//! folder = "images"              # ... in this folder; left out: beside the manifest
//! # of texts: column = "comment_text"; max_length = 300   tokens, [CLS] and [SEP] among them; 256 where left out
//!
//! [class]
//! column = "label"
//! names = ["even", "odd"]
//! values = [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]   # left out: 0, 1, ... or the names themselves
//! # or threshold = 0.5           # of two classes: the column holds shares in [0, 1], those from here on are the second
//!
//! [attribute]                    # the spurious attribute, if a column holds it ...
//! column = "place"
//! names = ["land", "water"]
//!
//! [attributes]                   # ... or several, of which a row may have any number: a column of shares each ...
//! columns = ["male", "female"]
//! names = ["men", "women"]       # left out: the columns
//! threshold = 0.5                # a row has those with so much of it, or of each its own: [0.5, 0.6]; an empty cell: not
//! none = "no gender"             # training groups must not overlap: each class without any of them ...
//! any = "gender"                 # ... and with any; evaluation groups are each class with each of them, and overlap
//!
//! [colour]                       # ... or if it is made: see `colour`
//! names = ["red", "blue"]
//! rgb = ["#ff0000", "#0000ff"]
//! threshold = 120
//! probability = 0.995
//! validation = "uniform"         # or "every"
//! test = "uniform"
//!
//! [splits]
//! train = { files = ["data/train-*.parquet"], rows = 54_000, groups = [...] }   # numbers: checked where given
//! validation = { of = "train", fraction = 0.1 }
//! test = { files = ["data/test.parquet"] }
//! # or, by a column: column = "split", files = ["metadata.csv"], train = { values = [0] }, ...
//!
//! [join]                         # further columns of the same rows, found by the input's column; rarely needed
//! file = "partition.txt"
//! columns = ["image_id", "partition"]   # their names, where the file has no header
//!
//! [transform]                    # of images
//! square = true                  # first the centre square of the shorter side; left out: false
//! resize = 40                    # to 40x40; left out: as it is
//! crop = 32                      # after that, in the centre; left out: none
//! augment = "crop"               # what training draws: the place of the crop; or "resized-crop"; or "none"
//! scale = [0.7, 1.0]             # of resized-crop: its share of the area ...
//! ratio = [0.75, 1.333]          # ... and its width over its height
//! flip = true                    # training mirrors every second image; left out: false
//! mean = [0.5, 0.5, 0.5]         # of values in [0, 1]; 0.5 and 0.5, which give [-1, 1], where left out
//! std = [0.5, 0.5, 0.5]
//!
//! [archive]                      # the same data as their authors publish them: a folder that the user names
//! input = { column = "img_filename" }
//! class = { column = "y" }
//! attribute = { column = "place" }
//! splits = { column = "split", files = ["metadata.csv"], train = { values = [0] }, ... }
//! ```
//!
//! Files may be patterns, see [`crate::patterns`]. Names that end in `.parquet` are parquet, those in `.jsonl` or `.ndjson`
//! JSON Lines, see [`crate::table::jsonl`], all others text: see [`crate::table::text`].

mod check;
mod files;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::colour::{Correlation, HeldOut};
use crate::hub::HubRepository;
use crate::image::transform::Transform;
use crate::strict_toml;
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
    archive: Option<Layout>,
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

/// Which cell has which name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    Values {
        values: BTreeMap<Cell, u32>,
        /// Whether the manifest lists the values; else 0, 1, ... and the names are accepted.
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
    rules: [SplitRule; 3],
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

/// A file of a hub repository that a dataset needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// `owner/name` of a dataset repository.
    pub repository: String,
    /// Commit, branch or tag.
    pub revision: String,
    /// Path inside the repository, or a pattern for several: see [`crate::patterns`].
    pub path: String,
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
    /// The built-in dataset of this name, or the manifest at this path (or the `dataset.toml` in this folder).
    ///
    /// # Errors
    /// No such dataset, naming the nearest; a file that cannot be read; a manifest that does not pass its checks.
    pub fn open(name_or_path: &str) -> Result<Self, DataError> {
        if let Some(found) = builtin::find(name_or_path) {
            return Self::parse(found.manifest, format!("built-in dataset {}", found.name), Folder::BuiltIn(found));
        }
        let given = Path::new(name_or_path);
        let path = if given.is_dir() { given.join("dataset.toml") } else { given.to_path_buf() };
        let is_path = path.exists() || given.components().count() > 1 || given.extension().is_some();
        if !is_path {
            let nearest = strict_toml::nearest(name_or_path, builtin::names()).unwrap_or_default().to_string();
            let known = builtin::names().collect::<Vec<_>>().join(", ");
            return Err(DataError::UnknownDataset { name: name_or_path.to_string(), nearest, known });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, path.display().to_string(), Folder::Disk { manifest: path, folder })
    }

    fn parse(text: &str, file: String, folder: Folder) -> Result<Self, DataError> {
        let raw: raw::Manifest = strict_toml::parse(text, &file)?;
        raw.check(file, folder)
    }

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
            Some(Some(name)) if check::is_repository(name) => Ok(Some(HubRepository::model(name))),
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
