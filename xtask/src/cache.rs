//! Writing into the hub's cache, in the layout of Python's huggingface_hub: `blobs/<etag>` holds the bytes,
//! `snapshots/<commit>/<path>` links to them, `refs/<branch>` names the commit, `.no_exist/<commit>/<path>` says that the
//! hub has no such file, and `.locks/` of the cache keeps two programs from fetching one blob at a time. Every file
//! appears under its name complete or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use cnc_base::files::{self, AtomicFile};
use cnc_base::locks::{Attempt, Lock, try_lock};
use cnc_data::{Fetched, HubCache, HubRepository};
use sha2::{Digest, Sha256};

/// How often a lock that another program has is asked for.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// The folder of one repository.
pub struct RepoFolder {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepoFolder {
    pub fn new(cache: &HubCache, repository: &HubRepository) -> Self {
        let locks = cache.root().join(".locks").join(repository.folder_name());
        Self { folder: cache.folder(repository), locks }
    }

    pub fn blob(&self, name: &str) -> PathBuf {
        self.folder.join("blobs").join(name)
    }

    /// Where the bytes of a blob gather until they are complete.
    pub fn part(&self, blob: &str) -> Result<PathBuf> {
        create_folder(&self.folder.join("blobs"))?;
        Ok(self.blob(&format!("{blob}.incomplete")))
    }

    pub fn snapshot(&self, commit: &str, path: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(path)
    }

    pub fn fetched(&self, commit: &str, path: &str) -> Option<Fetched> {
        Fetched::read(&self.folder, commit, path)
    }

    /// Keeps other programs from fetching the same blob until the lock is dropped.
    pub fn lock(&self, blob: &str, waiting: impl FnOnce()) -> Result<Lock> {
        create_folder(&self.locks)?;
        let path = self.locks.join(format!("{blob}.lock"));
        let mut waiting = Some(waiting);
        loop {
            match try_lock(&path).with_context(|| format!("locking {}", path.display()))? {
                Attempt::Locked(lock) => return Ok(lock),
                Attempt::Held(_) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Copies a file to `blobs/`, under its SHA-256 as the hub names large files.
    pub fn store(&self, source: &Path, mut copied: impl FnMut(usize)) -> Result<Fetched> {
        let temporary = self.part(&format!("copy-{}", std::process::id()))?;
        let result = copy(source, &temporary, &mut copied).and_then(|fetched| {
            replace(&temporary, &self.blob(&fetched.blob))?;
            Ok(fetched)
        });
        if result.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Makes `snapshots/<commit>/<path>` stand for a blob, and notes its size. A blob that `others` need too stays where it is.
    pub fn publish(&self, commit: &str, path: &str, fetched: &Fetched, others: bool) -> Result<()> {
        self.link(commit, path, &fetched.blob, others, symlink)?;
        self.note(commit, path, fetched)
    }

    /// Notes what a file of a snapshot must be.
    pub fn note(&self, commit: &str, path: &str, fetched: &Fetched) -> Result<()> {
        write(&Fetched::path(&self.folder, commit, path), &fetched.text())
    }

    fn link(
        &self,
        commit: &str,
        path: &str,
        blob: &str,
        others: bool,
        symlink: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<()> {
        let target = self.snapshot(commit, path);
        let folder = target.parent().context("a snapshot path has a folder")?;
        create_folder(folder)?;
        // From snapshots/<commit>/<folders of path> up to the repository's folder.
        let up = "../".repeat(1 + Path::new(path).components().count());
        let temporary = folder.join(format!("link-{}.incomplete", std::process::id()));
        let _ = fs::remove_file(&temporary);
        match symlink(Path::new(&format!("{up}blobs/{blob}")), &temporary) {
            Ok(()) => replace(&temporary, &target),
            // A file system without links: huggingface_hub has the file itself there, too.
            Err(_) if others => {
                let blob = self.blob(blob);
                let copied = fs::copy(&blob, &temporary).map_err(|error| write_error(error, &target, None));
                copied.and_then(|_| replace(&temporary, &target))
            }
            Err(_) => replace(&self.blob(blob), &target),
        }
    }

    /// Makes a branch or tag stand for a commit.
    pub fn refer(&self, revision: &str, commit: &str) -> Result<()> {
        write(&self.folder.join("refs").join(revision), commit)
    }

    /// Notes that a commit does not have a file.
    pub fn mark_absent(&self, commit: &str, path: &str) -> Result<()> {
        write(&self.absence(commit, path), "")
    }

    pub fn is_absent(&self, commit: &str, path: &str) -> bool {
        self.absence(commit, path).is_file()
    }

    fn absence(&self, commit: &str, path: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(path)
    }
}

/// What went wrong with writing a file, and how much space it takes where that is what is missing.
pub fn write_error(error: io::Error, file: &Path, needed: Option<u64>) -> Error {
    match (error.kind(), needed) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, Some(needed)) => {
            anyhow!("the disk is full: {} takes {needed} more bytes; make room and run it again", file.display())
        }
        _ => Error::new(error).context(format!("writing {}", file.display())),
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

fn copy(source: &Path, target: &Path, copied: &mut impl FnMut(usize)) -> Result<Fetched> {
    let mut from = File::open(source).with_context(|| format!("opening {}", source.display()))?;
    let whole = from.metadata().with_context(|| format!("reading {}", source.display()))?.len();
    let mut to = File::create(target).with_context(|| format!("creating {}", target.display()))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let length = from.read(&mut chunk).with_context(|| format!("reading {}", source.display()))?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        to.write_all(&chunk[..length]).map_err(|error| write_error(error, target, whole.checked_sub(size)))?;
        size += length as u64;
        copied(length);
    }
    to.sync_all().map_err(|error| write_error(error, target, Some(whole)))?;
    Ok(Fetched { size, blob: hex(&hash.finalize()) })
}

/// Writes a small file, which appears complete.
fn write(target: &Path, text: &str) -> Result<()> {
    AtomicFile::create_shared(target)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.finish()))
        .map_err(|error| write_error(error, target, Some(text.len() as u64)))
}

fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))
}

pub fn replace(from: &Path, to: &Path) -> Result<()> {
    files::replace(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use cnc_data::RepositoryKind;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_file_system_without_links_has_the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = HubCache::new(folder.path().join("cache"));
        let repository =
            HubRepository { kind: RepositoryKind::Model, name: "owner/name".into(), revision: COMMIT.into() };
        let source = folder.path().join("source");
        fs::write(&source, "bytes").unwrap();
        let repo = RepoFolder::new(&cache, &repository);
        let fetched = repo.store(&source, |_| ()).unwrap();
        // Two equal files of the repository are one blob.
        for (path, others) in [("twin.txt", true), ("a/b.txt", false)] {
            repo.link(COMMIT, path, &fetched.blob, others, |_, _| Err(ErrorKind::Unsupported.into())).unwrap();
        }
        for path in ["twin.txt", "a/b.txt"] {
            let found = cache.find_in(&repository, path).unwrap();
            assert!(found.symlink_metadata().unwrap().is_file());
            assert_eq!(fs::read_to_string(found).unwrap(), "bytes");
        }
        assert!(!repo.blob(&fetched.blob).exists(), "the bytes are not kept a third time");
    }

    #[test]
    fn a_full_disk_is_named_with_the_space_that_is_missing() {
        let error = write_error(ErrorKind::StorageFull.into(), Path::new("file"), Some(123));
        assert!(format!("{error:#}").contains("disk is full: file takes 123 more bytes"));
    }
}
