//! What is to be fetched: the files that a dataset's manifest names, or those of a model repository.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cnc_data::{HubCache, HubRepository, Manifest, RepositoryKind, builtin};

use crate::cache::RepoFolder;

/// The files of a model repository that are used, as far as it has them.
const MODEL_FILES: [&str; 5] =
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

/// Files of one repository at one revision.
pub struct Wanted {
    /// As the command line names it.
    pub given: String,
    pub repository: HubRepository,
    pub files: Vec<WantedFile>,
}

pub struct WantedFile {
    pub path: String,
    /// A repository without it is not complete.
    pub needed: bool,
}

/// Where a file stands in the cache.
pub enum State {
    Here(PathBuf),
    /// The hub was asked before: the repository does not have it.
    Absent,
    Missing(String),
    /// Something is under its name that is not the file.
    Damaged(String),
}

impl Wanted {
    /// What a name on the command line stands for: a model; or a dataset, without files where they all lie beside its
    /// manifest, and the weights that its recipe names.
    pub fn resolve(given: &str) -> Result<Vec<Self>> {
        if !is_dataset(given) {
            return Ok(vec![Self::model(given, HubRepository::model(given))]);
        }
        let manifest = Manifest::open(given)?;
        let files = manifest.hub_files();
        let mut wanted = Vec::new();
        // All files of a manifest are of one repository and revision.
        if let Some(repository) = files.first().map(HubRepository::from) {
            let files: Vec<_> = files.into_iter().map(|file| WantedFile { path: file.path, needed: true }).collect();
            for file in &files {
                ensure!(is_inside(&file.path), "{given}: `{}` is no path inside a repository", file.path);
            }
            wanted.push(Self { given: given.to_string(), repository, files });
        }
        wanted.extend(manifest.weights()?.map(|weights| Self::model(given, weights)));
        Ok(wanted)
    }

    fn model(given: &str, repository: HubRepository) -> Self {
        let files = MODEL_FILES.iter().map(|path| WantedFile { path: (*path).to_string(), needed: false }).collect();
        Self { given: given.to_string(), repository, files }
    }

    /// Where the hub lists the files of the repository.
    pub fn listing_url(&self, endpoint: &str) -> String {
        let kind = match self.repository.kind {
            RepositoryKind::Dataset => "datasets",
            RepositoryKind::Model => "models",
        };
        format!("{endpoint}/api/{kind}/{}/revision/{}", self.repository.name, encode(&self.repository.revision))
    }

    pub fn url(&self, endpoint: &str, revision: &str, path: &str) -> String {
        let kind = match self.repository.kind {
            RepositoryKind::Dataset => "datasets/",
            RepositoryKind::Model => "",
        };
        // A branch with slashes is one part of the URL.
        let revision = encode(revision);
        let path = path.split('/').map(encode).collect::<Vec<_>>().join("/");
        format!("{endpoint}/{kind}{}/resolve/{revision}/{path}", self.repository.name)
    }

    /// Where a file is in a local copy of repositories.
    pub fn local(&self, folder: &Path, path: &str) -> PathBuf {
        let kind = match self.repository.kind {
            RepositoryKind::Dataset => "datasets",
            RepositoryKind::Model => "models",
        };
        folder.join(kind).join(&self.repository.name).join(path)
    }

    pub fn state(&self, cache: &HubCache, file: &WantedFile) -> State {
        let problem = match cache.find_in(&self.repository, &file.path) {
            Ok(path) => return State::Here(path),
            Err(problem) => problem.to_string(),
        };
        let folder = RepoFolder::new(cache, &self.repository);
        let commit = cache.commit(&self.repository);
        if folder.snapshot(&commit, &file.path).symlink_metadata().is_ok() {
            State::Damaged(problem)
        } else if !file.needed && folder.is_absent(&commit, &file.path) {
            State::Absent
        } else {
            State::Missing(problem)
        }
    }
}

/// A built-in dataset, a path that exists, or what can only be meant as one; `owner/name` is a model.
fn is_dataset(given: &str) -> bool {
    builtin::names().any(|name| name == given) || Path::new(given).exists() || !is_repository(given)
}

/// `owner/name` as the hub allows it, and no file name of a manifest.
fn is_repository(given: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.contains("..")
            && !part.contains("--")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match given.split_once('/') {
        Some((owner, name)) => is_part(owner) && is_part(name) && !name.ends_with(".toml"),
        None => false,
    }
}

/// Only folders downwards.
pub fn is_inside(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(['\\', ':'])
}

fn encode(part: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_an_owner_is_a_model_and_all_else_a_dataset() {
        for name in ["google-bert/bert-base-uncased", "timm/resnet50.tv_in1k"] {
            assert!(is_repository(name), "{name}");
        }
        for name in ["cmnist", "my/dataset.toml", "../x", "a/b/c", "/a", "a/", "a/..", "a b/c"] {
            assert!(!is_repository(name), "{name}");
        }
    }

    #[test]
    fn a_branch_with_slashes_is_one_part_of_the_url() {
        let repository = HubRepository {
            kind: RepositoryKind::Dataset,
            name: "owner/name".into(),
            revision: "refs/convert/parquet".into(),
        };
        let wanted = Wanted { given: "x".into(), repository, files: Vec::new() };
        assert_eq!(
            wanted.url("http://host", "refs/convert/parquet", "data/a b.parquet"),
            "http://host/datasets/owner/name/resolve/refs%2Fconvert%2Fparquet/data/a%20b.parquet"
        );
    }

    #[test]
    fn a_path_that_leaves_the_repository_is_no_path() {
        for path in ["", "../x", "a/../x", "/etc/x", "a//b", "C:\\x"] {
            assert!(!is_inside(path), "{path}");
        }
        assert!(is_inside("data/train.parquet"));
    }
}
