//! `cargo xtask fetch`: the files that a manifest names, from the hub or from a folder, into the hub's cache.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cnc_data::{HubCache, HubFile, Manifest};
use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::cache::{RepoFolder, hex, sha256};

/// Times that a broken connection is tried again.
const RETRIES: usize = 3;

pub fn run(dataset: &str, from: Option<&Path>) -> Result<()> {
    let manifest = Manifest::open(dataset)?;
    let files = manifest.hub_files();
    if files.is_empty() {
        println!("{dataset} needs nothing from the hub");
        return Ok(());
    }
    let cache = HubCache::from_env();
    let missing: Vec<&HubFile> = files.iter().filter(|file| cache.find(file).is_err()).collect();
    if !missing.is_empty() {
        match from {
            Some(folder) => copy(&cache, folder, &files)?,
            None => download(&cache, &missing)?,
        }
    }
    for file in &files {
        let path = cache.find(file).with_context(|| format!("{} is still not there", file.path))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// All files of a manifest are of one repository and revision: they make one snapshot.
fn copy(cache: &HubCache, folder: &Path, files: &[HubFile]) -> Result<()> {
    let source = |file: &HubFile| folder.join("datasets").join(&file.repository).join(&file.path);
    let mut sources: Vec<(&HubFile, PathBuf, u64)> = Vec::new();
    for file in files {
        let path = source(file);
        let size = path.metadata().with_context(|| format!("{} is needed", path.display()))?.len();
        sources.push((file, path, size));
    }
    let bar = ProgressBar::new(sources.iter().map(|(_, _, size)| size).sum());
    bar.set_style(ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})")?);
    let mut blobs = Vec::new();
    for (file, path, _) in &sources {
        bar.set_message(file.path.clone());
        let blob = RepoFolder::new(cache, &file.repository).store(path, |length| bar.inc(length as u64))?;
        blobs.push((*file, blob));
    }
    bar.finish_and_clear();
    for (file, blob) in &blobs {
        let repo = RepoFolder::new(cache, &file.repository);
        let commit = if is_commit(&file.revision) { file.revision.clone() } else { stand_in(&blobs) };
        repo.link(&commit, &file.path, blob)?;
        if commit != file.revision {
            repo.refer(&file.revision, &commit)?;
        }
    }
    Ok(())
}

/// A commit's name is 40 hexadecimal digits.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name like a commit's for files whose commit a local copy does not tell: equal files have equal names.
fn stand_in(blobs: &[(&HubFile, String)]) -> String {
    let mut hash = Sha256::new();
    for (file, blob) in blobs {
        hash.update(format!("{} {blob}\n", file.path));
    }
    let mut name = hex(&hash.finalize());
    name.truncate(40);
    name
}

fn download(cache: &HubCache, files: &[&HubFile]) -> Result<()> {
    if env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.to_lowercase().as_str(), "" | "0" | "false" | "no"))
    {
        bail!("HF_HUB_OFFLINE is set, so nothing is downloaded; unset it, or copy the files with --from DIR");
    }
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_string());
    let endpoint = endpoint.trim_end_matches('/').to_string();
    let local = Cache::new(cache.root().to_path_buf());
    let token = set("HF_TOKEN").or_else(|| local.token());
    let api = ApiBuilder::from_cache(local)
        .with_endpoint(endpoint.clone())
        .with_token(token)
        .with_retries(RETRIES)
        .build()
        .context("setting up the connection")?;
    for file in files {
        let path = download_one(&api, file).with_context(|| {
            format!("downloading {} of {} from {endpoint} (HF_ENDPOINT names another host)", file.path, file.repository)
        })?;
        verify(&path)?;
    }
    Ok(())
}

fn download_one(api: &Api, file: &HubFile) -> Result<PathBuf> {
    let repo = Repo::with_revision(file.repository.clone(), RepoType::Dataset, file.revision.clone());
    Ok(api.repo(repo).download(&file.path)?)
}

/// The hub names the blob of a large file by its SHA-256; bytes that do not have it are removed.
fn verify(path: &Path) -> Result<()> {
    let blob = path.canonicalize().with_context(|| format!("{}", path.display()))?;
    let Some(expected) = blob.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    let is_sha256 = expected.len() == 64 && expected.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    let found = sha256(&blob)?;
    if found != expected {
        std::fs::remove_file(path).and_then(|()| std::fs::remove_file(&blob)).context("removing a bad download")?;
        bail!("{}: the bytes have SHA-256 {found}, the hub says {expected}; removed, fetch it again", path.display());
    }
    Ok(())
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn file(revision: &str, path: &str) -> HubFile {
        HubFile { repository: "owner/name".into(), revision: revision.into(), path: path.into() }
    }

    /// A local copy with two files, and an empty cache.
    fn local_copy() -> (tempfile::TempDir, HubCache) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("datasets/owner/name/data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("train.parquet"), "train").unwrap();
        std::fs::write(data.join("test.parquet"), "test").unwrap();
        let cache = HubCache::new(folder.path().join("cache"));
        (folder, cache)
    }

    #[test]
    fn a_copy_ends_in_the_layout_of_the_hubs_cache() {
        let (folder, cache) = local_copy();
        let files = [file(COMMIT, "data/train.parquet"), file(COMMIT, "data/test.parquet")];
        copy(&cache, folder.path(), &files).unwrap();
        let repository = cache.root().join("datasets--owner--name");
        let blob = repository
            .join("blobs")
            .join(sha256(&folder.path().join("datasets/owner/name/data/train.parquet")).unwrap());
        assert_eq!(std::fs::read_to_string(&blob).unwrap(), "train");
        let found = cache.find(&files[0]).unwrap();
        assert_eq!(found, repository.join("snapshots").join(COMMIT).join("data/train.parquet"));
        assert_eq!(found.canonicalize().unwrap(), blob.canonicalize().unwrap());
        let left: Vec<_> = std::fs::read_dir(repository.join("blobs")).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing but the two blobs: {left:?}");
    }

    #[test]
    fn a_branch_is_found_by_its_reference_after_a_copy() {
        let (folder, cache) = local_copy();
        let files =
            [file("refs/convert/parquet", "data/train.parquet"), file("refs/convert/parquet", "data/test.parquet")];
        copy(&cache, folder.path(), &files).unwrap();
        assert_eq!(std::fs::read_to_string(cache.find(&files[1]).unwrap()).unwrap(), "test");
    }

    #[test]
    fn a_copy_without_one_of_the_files_leaves_the_cache_as_it_was() {
        let (folder, cache) = local_copy();
        let files = [file(COMMIT, "data/train.parquet"), file(COMMIT, "data/other.parquet")];
        let message = format!("{:#}", copy(&cache, folder.path(), &files).unwrap_err());
        assert!(message.contains("data/other.parquet is needed"), "{message}");
        assert!(!cache.root().exists());
    }

    #[test]
    fn a_download_with_other_bytes_than_its_name_says_is_removed() {
        let (folder, cache) = local_copy();
        let files = [file(COMMIT, "data/train.parquet"), file(COMMIT, "data/test.parquet")];
        copy(&cache, folder.path(), &files).unwrap();
        let path = cache.find(&files[0]).unwrap();
        verify(&path).unwrap();
        std::fs::write(&path, "<html>").unwrap();
        let message = format!("{:#}", verify(&path).unwrap_err());
        assert!(message.contains("SHA-256") && message.contains("fetch it again"), "{message}");
        assert!(cache.find(&files[0]).is_err());
    }
}
