//! Writing into the hub's cache: `blobs/<hash>` holds the bytes, `snapshots/<commit>/<path>` links to them, and
//! `refs/<branch>` names the commit. Every file appears under its name complete or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cnc_data::HubCache;
use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// The folder of one dataset repository.
pub struct RepoFolder {
    folder: PathBuf,
}

impl RepoFolder {
    pub fn new(cache: &HubCache, repository: &str) -> Self {
        let repo = Repo::new(repository.to_string(), RepoType::Dataset);
        Self { folder: cache.root().join(repo.folder_name()) }
    }

    /// Copies a file to `blobs/`, under its SHA-256 as the hub names large files; gives that name back.
    pub fn store(&self, source: &Path, mut copied: impl FnMut(usize)) -> Result<String> {
        let blobs = self.folder.join("blobs");
        create_folder(&blobs)?;
        let temporary = blobs.join(format!("copy-{}.incomplete", std::process::id()));
        let result = copy(source, &temporary, &mut copied).and_then(|name| {
            replace(&temporary, &blobs.join(&name))?;
            Ok(name)
        });
        if result.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Makes `snapshots/<commit>/<path>` stand for a blob.
    pub fn link(&self, commit: &str, path: &str, blob: &str) -> Result<()> {
        let target = self.folder.join("snapshots").join(commit).join(path);
        let folder = target.parent().context("a snapshot path has a folder")?;
        create_folder(folder)?;
        // From snapshots/<commit>/<folders of path> up to the repository's folder.
        let up = "../".repeat(1 + Path::new(path).components().count());
        let temporary = folder.join(format!("link-{}.incomplete", std::process::id()));
        let _ = fs::remove_file(&temporary);
        if symlink(Path::new(&format!("{up}blobs/{blob}")), &temporary).is_err() {
            // A file system without links: huggingface_hub puts the file itself there, too.
            let blob = self.folder.join("blobs").join(blob);
            fs::copy(&blob, &temporary).with_context(|| format!("copying to {}", temporary.display()))?;
        }
        replace(&temporary, &target)
    }

    /// Makes a branch or tag stand for a commit.
    pub fn refer(&self, revision: &str, commit: &str) -> Result<()> {
        let target = self.folder.join("refs").join(revision);
        create_folder(target.parent().context("a reference has a folder")?)?;
        let temporary = target.with_extension(format!("{}.incomplete", std::process::id()));
        fs::write(&temporary, commit).with_context(|| format!("writing {}", temporary.display()))?;
        replace(&temporary, &target)
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk).with_context(|| format!("reading {}", path.display()))?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk[..length]);
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn copy(source: &Path, target: &Path, copied: &mut impl FnMut(usize)) -> Result<String> {
    let mut from = File::open(source).with_context(|| format!("opening {}", source.display()))?;
    let mut to = File::create(target).with_context(|| format!("creating {}", target.display()))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).with_context(|| format!("reading {}", source.display()))?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        to.write_all(&chunk[..length]).with_context(|| format!("writing {}", target.display()))?;
        copied(length);
    }
    to.sync_all().with_context(|| format!("writing {}", target.display()))?;
    Ok(hex(&hash.finalize()))
}

fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))
}

fn replace(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
