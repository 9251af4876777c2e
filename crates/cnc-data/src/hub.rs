//! The local cache of the Hugging Face hub, in the layout that all its clients share. Nothing here opens a connection.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Repo, RepoType};

/// Why a file of the hub cannot be read from the cache: what is there instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
#[non_exhaustive]
pub struct NotCached {
    /// What is wrong.
    pub problem: String,
    /// Whether a file is there that is not whole: fetching goes over it only when it is told to.
    pub is_damaged: bool,
}

/// What a repository of the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Data.
    Dataset,
    /// Weights, their configuration and their tokenizer.
    Model,
}

/// A repository of the hub at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRepository {
    /// Data or a model.
    pub kind: RepositoryKind,
    /// `owner/name`.
    pub name: String,
    /// Commit, branch or tag.
    pub revision: String,
}

impl HubRepository {
    /// A model, as it is now: weights are not pinned.
    #[must_use]
    pub fn model(name: &str) -> Self {
        Self { kind: RepositoryKind::Model, name: name.to_string(), revision: "main".to_string() }
    }

    /// The repository's name as a folder of the cache: `datasets--owner--name`, `models--owner--name`.
    #[must_use]
    pub fn folder_name(&self) -> String {
        let kind = match self.kind {
            RepositoryKind::Dataset => RepoType::Dataset,
            RepositoryKind::Model => RepoType::Model,
        };
        Repo::new(self.name.clone(), kind).folder_name()
    }
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

impl From<&HubFile> for HubRepository {
    fn from(file: &HubFile) -> Self {
        Self { kind: RepositoryKind::Dataset, name: file.repository.clone(), revision: file.revision.clone() }
    }
}

/// Whether a text is `owner/name`.
pub(crate) fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// What the hub said about a file when it was fetched.
///
/// The shared layout of the cache has no place for a size, and a file that lost its end must be seen without asking
/// the hub: who fetches notes both in `.fetched/<commit>/<path>` of the repository's folder, where the other
/// clients do not look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes.
    pub size: u64,
    /// The name of the blob: of a large file its SHA-256 in hexadecimal digits.
    pub blob: String,
}

impl Fetched {
    /// Where the note on a file is, in the folder of its repository.
    #[must_use]
    pub fn path(folder: &Path, commit: &str, path: &str) -> PathBuf {
        folder.join(".fetched").join(commit).join(path)
    }

    /// The note on a file, if there is one that can be read.
    #[must_use]
    pub fn read(folder: &Path, commit: &str, path: &str) -> Option<Self> {
        let text = fs::read_to_string(Self::path(folder, commit, path)).ok()?;
        let (size, blob) = text.trim_end().split_once(' ')?;
        Some(Self { size: size.parse().ok()?, blob: blob.to_string() })
    }

    /// The text of the note.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}\n", self.size, self.blob)
    }
}

/// The folder of `datasets--owner--name`, `models--owner--name`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// A cache at a folder of one's own choice.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache that Python's `huggingface_hub` uses too: `HF_HUB_CACHE`, else `HF_HOME`/hub, else
    /// `XDG_CACHE_HOME`/huggingface/hub, else `~/.cache/huggingface/hub`. An empty variable counts as not set.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var_os(name).map(PathBuf::from))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
        let root = set("HF_HUB_CACHE")
            .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| home_from_variables(&set).join("hub"));
        Self { root }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a repository.
    #[must_use]
    pub fn folder(&self, repository: &HubRepository) -> PathBuf {
        self.root.join(repository.folder_name())
    }

    /// The commit that a revision stands for here.
    #[must_use]
    pub fn commit(&self, repository: &HubRepository) -> String {
        let reference = self.folder(repository).join("refs").join(&repository.revision);
        match fs::read_to_string(reference) {
            Ok(commit) => commit.trim().to_string(),
            // A full commit needs no reference: its snapshot has its name.
            Err(_) => repository.revision.clone(),
        }
    }

    /// The folder of a repository's files at its revision, there or not.
    #[must_use]
    pub fn snapshot(&self, repository: &HubRepository) -> PathBuf {
        self.folder(repository).join("snapshots").join(self.commit(repository))
    }

    /// The path of a dataset's file in the cache.
    ///
    /// # Errors
    /// It is not there, is empty, has lost its end, or is a link to nothing.
    pub fn find(&self, file: &HubFile) -> Result<PathBuf, NotCached> {
        self.find_in(&file.into(), &file.path)
    }

    /// The path of a file of any repository in the cache.
    ///
    /// # Errors
    /// It is not there, is empty, has lost its end, or is a link to nothing.
    pub fn find_in(&self, repository: &HubRepository, file: &str) -> Result<PathBuf, NotCached> {
        let missing = |problem: String| Err(NotCached { problem, is_damaged: false });
        let folder = self.folder(repository);
        if !folder.is_dir() {
            return missing(format!("the cache {} does not have the repository", self.root.display()));
        }
        let commit = self.commit(repository);
        let path = folder.join("snapshots").join(&commit).join(file);
        let found = match fs::metadata(&path) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return missing(format!("{} is not a file", path.display())),
            Err(_) if path.symlink_metadata().is_ok() => {
                return missing(format!("{} points to a blob that is gone", path.display()));
            }
            Err(_) => return missing(format!("{} does not exist", path.display())),
        };
        match Fetched::read(&folder, &commit, file) {
            Some(Fetched { size, .. }) if size != found => Err(NotCached {
                problem: format!("{} is incomplete, expected {size} bytes, found {found}", path.display()),
                is_damaged: true,
            }),
            _ if found == 0 => missing(format!("{} is empty", path.display())),
            _ => Ok(path),
        }
    }
}

/// The folder of the hub's clients, with the token and, unless `HF_HUB_CACHE` says otherwise, the cache: `HF_HOME`,
/// else `XDG_CACHE_HOME`/huggingface, else `~/.cache/huggingface`.
#[must_use]
pub fn hub_home() -> PathBuf {
    home_from_variables(&|name| env::var_os(name).map(PathBuf::from).filter(|value| !value.as_os_str().is_empty()))
}

fn home_from_variables(set: &impl Fn(&'static str) -> Option<PathBuf>) -> PathBuf {
    set("HF_HOME").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME").unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache"));
        cache.join("huggingface")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(variables: &[(&str, &str)]) -> PathBuf {
        let variables = variables.to_vec();
        let value = move |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        HubCache::from_variables(value).root
    }

    #[test]
    fn the_variables_of_the_hub_are_honoured_in_its_order() {
        let all = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")];
        assert_eq!(root(&all), Path::new("/a"));
        assert_eq!(root(&all[1..]), Path::new("/b/hub"));
        assert_eq!(root(&all[2..]), Path::new("/c/huggingface/hub"));
        assert!(root(&[]).ends_with(".cache/huggingface/hub"));
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(root(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/b")]), Path::new("/b/hub"));
    }

    fn wanted(revision: &str) -> HubFile {
        HubFile { repository: "owner/name".into(), revision: revision.into(), path: "data/train.parquet".into() }
    }

    fn cache_with_snapshot(commit: &str) -> (tempfile::TempDir, HubCache, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder.path().join("datasets--owner--name/snapshots").join(commit).join("data");
        std::fs::create_dir_all(&snapshot).unwrap();
        let cache = HubCache::new(folder.path());
        (folder, cache, snapshot.join("train.parquet"))
    }

    #[test]
    fn a_commit_is_found_by_its_snapshot_and_a_branch_by_its_reference() {
        let (folder, cache, path) = cache_with_snapshot("0123abc");
        std::fs::write(&path, "data").unwrap();
        assert_eq!(cache.find(&wanted("0123abc")).unwrap(), path);
        assert!(cache.find(&wanted("main")).is_err());
        let references = folder.path().join("datasets--owner--name/refs/convert");
        std::fs::create_dir_all(&references).unwrap();
        std::fs::write(references.join("parquet"), "0123abc\n").unwrap();
        assert_eq!(cache.find(&wanted("convert/parquet")).unwrap(), path);
    }

    #[test]
    fn what_is_wrong_with_a_cached_file_is_said() {
        let (_folder, cache, path) = cache_with_snapshot("0123abc");
        assert!(cache.find(&wanted("0123abc")).unwrap_err().problem.contains("does not exist"));
        std::fs::write(&path, "").unwrap();
        assert!(cache.find(&wanted("0123abc")).unwrap_err().problem.contains("is empty"));
        #[cfg(unix)]
        {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("../../../blobs/gone", &path).unwrap();
            assert!(cache.find(&wanted("0123abc")).unwrap_err().problem.contains("blob that is gone"));
        }
        #[cfg(unix)]
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "12345").unwrap();
        let note = Fetched { size: 10, blob: "abc".into() };
        let folder = cache.folder(&HubRepository::from(&wanted("0123abc")));
        let note_path = Fetched::path(&folder, "0123abc", "data/train.parquet");
        std::fs::create_dir_all(note_path.parent().unwrap()).unwrap();
        std::fs::write(&note_path, note.text()).unwrap();
        assert_eq!(Fetched::read(&folder, "0123abc", "data/train.parquet"), Some(note));
        let incomplete = cache.find(&wanted("0123abc")).unwrap_err().problem;
        assert!(incomplete.contains("incomplete, expected 10 bytes, found 5"), "{incomplete}");
        let other = HubFile { repository: "owner/other".into(), ..wanted("0123abc") };
        assert!(cache.find(&other).unwrap_err().problem.contains("does not have the repository"));
    }
}
