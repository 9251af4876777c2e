//! The local cache of the Hugging Face hub, in the layout that all its clients share. Nothing here opens a connection.

use std::env;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use crate::manifest::HubFile;

/// Why a file of the hub cannot be read from the cache: what is there instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotCached(String);

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
        let root = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| {
            let home = set("HF_HOME").unwrap_or_else(|| {
                let cache = set("XDG_CACHE_HOME").unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache"));
                cache.join("huggingface")
            });
            home.join("hub")
        });
        Self { root }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file in the cache.
    ///
    /// # Errors
    /// It is not there, is empty, or is a link to nothing.
    pub fn find(&self, file: &HubFile) -> Result<PathBuf, NotCached> {
        self.look_up(file).map_err(NotCached)
    }

    fn look_up(&self, file: &HubFile) -> Result<PathBuf, String> {
        let repo = Repo::with_revision(file.repository.clone(), RepoType::Dataset, file.revision.clone());
        let folder = self.root.join(repo.folder_name());
        if !folder.is_dir() {
            return Err(format!("the cache {} does not have the repository", self.root.display()));
        }
        let cached = Cache::new(self.root.clone()).repo(repo);
        let reference = folder.join("refs").join(&file.revision);
        let commit = match std::fs::read_to_string(&reference) {
            Ok(commit) => commit.trim().to_string(),
            // A full commit needs no reference: its snapshot has its name.
            Err(_) => file.revision.clone(),
        };
        let path = cached.pointer_path(&commit).join(&file.path);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() > 0 => Ok(path),
            Ok(found) if found.is_file() => Err(format!("{} is empty", path.display())),
            Ok(_) => Err(format!("{} is not a file", path.display())),
            Err(_) if path.symlink_metadata().is_ok() => {
                Err(format!("{} points to a blob that is gone", path.display()))
            }
            Err(_) => Err(format!("{} does not exist", path.display())),
        }
    }
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
        assert!(cache.find(&wanted("0123abc")).unwrap_err().0.contains("does not exist"));
        std::fs::write(&path, "").unwrap();
        assert!(cache.find(&wanted("0123abc")).unwrap_err().0.contains("is empty"));
        #[cfg(unix)]
        {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("../../../blobs/gone", &path).unwrap();
            assert!(cache.find(&wanted("0123abc")).unwrap_err().0.contains("blob that is gone"));
        }
        let other = HubFile { repository: "owner/other".into(), ..wanted("0123abc") };
        assert!(cache.find(&other).unwrap_err().0.contains("does not have the repository"));
    }
}
