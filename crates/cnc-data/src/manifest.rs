//! What a dataset is, as data: a `dataset.toml`, checked once and then trusted.
//!
//! ```toml
//! name = "cmnist"                # names the run folder
//! kind = "image"
//! seed = 0                       # of splits by fraction and of colours; the run's own where left out
//!
//! [source]                       # left out: the files lie beside the manifest
//! hub = "ylecun/mnist"           # a dataset repository of the Hugging Face hub
//! revision = "77f327..."         # a commit, or a branch or tag
//!
//! [input]
//! column = "image"
//!
//! [class]
//! column = "label"
//! names = ["even", "odd"]
//! values = [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]   # left out: 0, 1, ... or the names themselves
//!
//! [attribute]                    # the spurious attribute, if a column holds it ...
//! column = "place"
//! names = ["land", "water"]
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
//! train = { files = ["train.parquet"], rows = 54_000 }   # `rows`: checked where given
//! validation = { of = "train", fraction = 0.1 }
//! test = { files = ["test.parquet"] }
//! # or, by a column: column = "split", files = ["all.parquet"], train = { values = [0] }, ...
//!
//! [transform]
//! resize = 40                    # to 40x40; left out: as it is
//! crop = 32                      # random in training, centre in evaluation; left out: none
//! mean = [0.5, 0.5, 0.5]         # of values in [0, 1]; 0.5 and 0.5, which give [-1, 1], where left out
//! std = [0.5, 0.5, 0.5]
//! ```

mod check;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::colour::{Correlation, HeldOut};
use crate::hub::HubCache;
use crate::image::transform::Transform;
use crate::strict_toml;
use crate::table::{Cell, DataFile, Location};
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
    pub(crate) input: String,
    pub(crate) class: Labels,
    pub(crate) attribute: Attribute,
    pub(crate) splits: Splits,
    pub(crate) transform: Transform,
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
}

/// A column whose cells have names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) column: String,
    pub(crate) names: Vec<String>,
    pub(crate) values: BTreeMap<Cell, u32>,
    /// Whether the manifest lists the values; else 0, 1, ... and the names are accepted.
    pub(crate) listed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    None,
    Column(Labels),
    Colour(Colouring),
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
    /// Path inside the repository.
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
        &self.class.names
    }

    /// The names of the spurious attribute's values, by index. None where the manifest names no attribute.
    #[must_use]
    pub fn attributes(&self) -> &[String] {
        match &self.attribute {
            Attribute::None => &[],
            Attribute::Column(labels) => &labels.names,
            Attribute::Colour(colouring) => &colouring.names,
        }
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

    /// The files of the hub that this dataset reads; none where its files lie beside the manifest.
    #[must_use]
    pub fn hub_files(&self) -> Vec<HubFile> {
        let Source::Hub { repository, revision } = &self.source else { return Vec::new() };
        let file =
            |path: &String| HubFile { repository: repository.clone(), revision: revision.clone(), path: path.clone() };
        self.files().map(file).collect()
    }

    /// All data files, as the manifest writes them.
    fn files(&self) -> impl Iterator<Item = &String> {
        let of_rule = |rule| match rule {
            &SplitRule { from: Origin::Files(ref files), .. } => files.as_slice(),
            _ => &[],
        };
        self.splits.files.iter().chain(self.splits.rules.iter().flat_map(of_rule))
    }

    /// Whether all files of the dataset are on this machine; nothing is read of them.
    ///
    /// # Errors
    /// A file that is missing, with the command that brings it.
    pub fn is_present(&self, cache: &HubCache) -> Result<(), DataError> {
        self.files().try_for_each(|file| self.locate(file, cache).map(drop))
    }

    /// The command that brings this dataset's hub files.
    pub(crate) fn fetch_command(&self) -> String {
        match &self.folder {
            Folder::BuiltIn(found) => format!("cargo xtask fetch {}", found.name),
            Folder::Disk { manifest, .. } => format!("cargo xtask fetch {}", manifest.display()),
        }
    }

    /// Where the bytes of one of the manifest's files are.
    pub(crate) fn locate(&self, file: &str, cache: &HubCache) -> Result<DataFile, DataError> {
        match (&self.source, &self.folder) {
            (Source::Hub { repository, revision }, _) => {
                let wanted =
                    HubFile { repository: repository.clone(), revision: revision.clone(), path: file.to_string() };
                let command = self.fetch_command();
                let path = cache.find(&wanted).map_err(|problem| DataError::NotFetched {
                    file: file.to_string(),
                    repository: repository.clone(),
                    problem: problem.to_string(),
                    command: command.clone(),
                })?;
                let remedy = format!("remove it and fetch it again with\n    {command}");
                Ok(DataFile { name: path.display().to_string(), location: Location::Disk(path), remedy })
            }
            (Source::Beside, Folder::Disk { folder, .. }) => Ok(DataFile::local(folder.join(file))),
            (Source::Beside, Folder::BuiltIn(found)) => {
                let (_, bytes) = found
                    .files
                    .iter()
                    .find(|(name, _)| *name == file)
                    .ok_or_else(|| self.error("splits", format!("the file {file} is not part of the program")))?;
                let name = format!("{file} of {}", self.file);
                let remedy = "this program is damaged: install it again".to_string();
                Ok(DataFile { name, location: Location::Embedded(bytes), remedy })
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
