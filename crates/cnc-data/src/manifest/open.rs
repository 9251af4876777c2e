//! From a name, a path or a text to a manifest.

use std::path::Path;

use cnc_base::names;

use super::model::{Folder, Manifest};
use super::raw;
use crate::{DataError, builtin, strict_toml};

impl Manifest {
    /// The built-in dataset of this name, or the manifest at this path (or the `dataset.toml` in this folder).
    ///
    /// # Errors
    /// No such dataset, naming the nearest; a file that cannot be read; a manifest that does not pass its checks.
    pub fn open(name_or_path: &str) -> Result<Self, DataError> {
        if let Some(found) = builtin::find(name_or_path) {
            return Self::read(found.manifest, format!("built-in dataset {}", found.name), Folder::BuiltIn(found));
        }
        let given = Path::new(name_or_path);
        let path = if given.is_dir() { given.join("dataset.toml") } else { given.to_path_buf() };
        let is_path = path.exists() || given.components().count() > 1 || given.extension().is_some();
        if !is_path {
            let nearest = names::nearest(name_or_path, builtin::names()).unwrap_or_default().to_string();
            let known = builtin::names().collect::<Vec<_>>().join(", ");
            return Err(DataError::UnknownDataset { name: name_or_path.to_string(), nearest, known });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::read(&text, path.display().to_string(), Folder::Disk { manifest: path, folder })
    }

    /// The manifest that is this text, with its files in `folder` where it names no other source. Messages call it
    /// `dataset.toml` of that folder, where it need not be.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// let text = r#"
    ///     name = "tiny"
    ///     kind = "image"
    ///     input = { column = "image" }
    ///     class = { column = "label", names = ["even", "odd"] }
    ///     [splits]
    ///     train = { files = ["train.parquet"] }
    ///     validation = { of = "train", fraction = 0.25 }
    ///     test = { files = ["test.parquet"] }
    /// "#;
    /// assert_eq!(cnc_data::Manifest::parse(text, Path::new("data"))?.classes(), ["even", "odd"]);
    /// # Ok::<(), cnc_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// A manifest that does not pass its checks.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, DataError> {
        let (manifest, folder) = (folder.join("dataset.toml"), folder.to_path_buf());
        Self::read(text, manifest.display().to_string(), Folder::Disk { manifest, folder })
    }

    fn read(text: &str, file: String, folder: Folder) -> Result<Self, DataError> {
        let raw: raw::Manifest = strict_toml::parse(text, &file)?;
        raw.check(file, folder)
    }
}
