//! Which files a manifest means, and where they are on this machine.

use std::path::{Path, PathBuf};

use super::model::{Folder, Input, Layout, Manifest, Origin, Source, SplitRule};
use crate::DataError;
use crate::hub::{HubCache, HubFile, HubRepository};
use crate::patterns::{find, is_pattern, told_missing_shards};
use crate::remedy::Remedy;
use crate::table::{DataFile, Location};

impl Manifest {
    /// The same dataset with its files in `folder`: as the authors publish them, where the manifest knows their layout,
    /// or else laid out as in the manifest's own source.
    ///
    /// # Errors
    /// The folder is not there, or holds neither.
    pub fn in_folder(mut self, folder: &Path) -> Result<Self, DataError> {
        if !folder.is_dir() {
            let problem = "is not a folder; the data's own is needed".to_string();
            return Err(DataError::File { file: folder.display().to_string(), problem });
        }
        let has_tables = |files: Vec<&String>| files.iter().all(|file| !find(folder, file).is_empty());
        if let Some(archive) = &self.archive
            && has_tables(archive.files().collect())
        {
            self.layout = archive.clone();
        } else if !has_tables(self.layout.files().collect()) {
            let layouts = self.archive.iter().chain([&self.layout]);
            let sought: Vec<String> =
                layouts.map(|layout| layout.files().map(String::as_str).collect::<Vec<_>>().join(", ")).collect();
            let problem =
                format!("does not hold the data of {}: {} would have to be there", self.name, sought.join("; or "));
            return Err(DataError::File { file: folder.display().to_string(), problem });
        }
        self.source = Source::Named(folder.to_path_buf());
        Ok(self)
    }

    /// The files of the hub that this dataset reads, some as patterns; none where its files lie elsewhere.
    #[must_use]
    pub fn hub_files(&self) -> Vec<HubFile> {
        let Source::Hub { repository, revision } = &self.source else { return Vec::new() };
        let file =
            |path: &String| HubFile { repository: repository.clone(), revision: revision.clone(), path: path.clone() };
        self.layout.files().map(file).collect()
    }

    /// Whether all files of the dataset are on this machine; nothing is read of them.
    ///
    /// # Errors
    /// A file that is missing, with what brings it.
    pub fn is_present(&self, cache: &HubCache) -> Result<(), DataError> {
        self.layout.files().try_for_each(|file| self.locate(file, cache).map(drop))
    }

    /// What brings this dataset's hub files.
    fn fetch(&self, again: bool) -> Remedy {
        let dataset = match &self.folder {
            Folder::BuiltIn(found) => found.name.to_string(),
            Folder::Disk { manifest, .. } => manifest.display().to_string(),
        };
        Remedy::Fetch { dataset, again }
    }

    /// Where the bytes of the files are that one of the manifest's names stands for: at least one.
    pub(crate) fn locate(&self, name: &str, cache: &HubCache) -> Result<Vec<DataFile>, DataError> {
        match (&self.source, &self.folder) {
            (Source::Hub { repository, revision }, _) => {
                let wanted = |path: &str| HubFile {
                    repository: repository.clone(),
                    revision: revision.clone(),
                    path: path.to_string(),
                };
                let missing = |file: &str, problem: String, again: bool| DataError::NotFetched {
                    file: file.to_string(),
                    repository: repository.clone(),
                    problem,
                    remedy: self.fetch(again),
                };
                let snapshot = cache.snapshot(&HubRepository::from(&wanted(name)));
                let files = self.names(&snapshot, name).map_err(|problem| missing(name, problem, false))?;
                let file = |path: &String| {
                    let found =
                        cache.find(&wanted(path)).map_err(|found| missing(path, found.problem, found.is_damaged))?;
                    let name = found.display().to_string();
                    Ok(DataFile { name, location: Location::Disk(found), remedy: self.fetch(true) })
                };
                files.iter().map(file).collect()
            }
            (Source::Beside, Folder::BuiltIn(found)) => {
                let (_, bytes) = found
                    .files
                    .iter()
                    .find(|(file, _)| *file == name)
                    .ok_or_else(|| self.error("splits", format!("the file {name} is not part of the program")))?;
                let name = format!("{name} of {}", self.file);
                Ok(vec![DataFile { name, location: Location::Embedded(bytes), remedy: Remedy::InstallAgain }])
            }
            (Source::Beside, Folder::Disk { folder, .. }) | (Source::Named(folder), _) => {
                let at = |file: &String| DataFile::local(folder.join(file));
                let files = self
                    .names(folder, name)
                    .map_err(|problem| DataError::File { file: folder.join(name).display().to_string(), problem })?;
                Ok(files.iter().map(at).collect())
            }
        }
    }

    /// The folder of the images that a text table names.
    pub(crate) fn image_folder(&self) -> Result<PathBuf, DataError> {
        let root = match (&self.source, &self.folder) {
            (Source::Named(folder), _) | (Source::Beside, Folder::Disk { folder, .. }) => folder,
            (Source::Hub { .. }, _) | (Source::Beside, Folder::BuiltIn(_)) => {
                let problem = "images in a folder need a source on this machine: a manifest beside them".to_string();
                return Err(self.error("input", problem));
            }
        };
        let Input { folder: Some(pattern), .. } = &self.layout.input else { return Ok(root.clone()) };
        let is_folder = |name: &String| root.join(name).is_dir();
        match find(root, pattern).into_iter().find(is_folder) {
            Some(name) => Ok(root.join(name)),
            None => {
                let problem = "the folder of the images is not there; correct `folder` of [input]".to_string();
                Err(DataError::File { file: root.join(pattern).display().to_string(), problem })
            }
        }
    }

    /// The files in `folder` that `name` stands for.
    fn names(&self, folder: &Path, name: &str) -> Result<Vec<String>, String> {
        if !is_pattern(name) {
            return Ok(vec![name.to_string()]);
        }
        let files = find(folder, name);
        if files.is_empty() {
            return Err(format!("{} has no such file", folder.display()));
        }
        match told_missing_shards(&files) {
            Some(problem) => Err(problem),
            None => Ok(files),
        }
    }
}

impl Layout {
    /// All data files, as the manifest writes them.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        let of_rule = |rule| match rule {
            &SplitRule { from: Origin::Files(ref files), .. } => files.as_slice(),
            _ => &[],
        };
        let joined = self.join.iter().map(|join| &join.file);
        self.splits.files.iter().chain(self.splits.rules.iter().flat_map(of_rule)).chain(joined)
    }
}
