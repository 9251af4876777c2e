//! `cargo xtask fetch --verify`: whether what is in the cache is what the hub gave.

use std::path::Path;

use anyhow::{Result, bail};
use cnc_data::{Fetched, HubCache};

use crate::cache::{RepoFolder, sha256};
use crate::content;
use crate::repository::{State, Wanted};
use crate::transfer::is_sha256;

/// What speaks for a file.
#[derive(Clone, Copy)]
pub enum Proof {
    Hash,
    Size,
    /// Only that it begins and ends as such a file does.
    Form,
}

/// Checks a file of the cache by all that is known of it: the noted size, the SHA-256 that a large file's blob is named
/// by, and the form that its name asks for.
pub fn examine(folder: &RepoFolder, commit: &str, path: &str, found: &Path) -> Result<Proof> {
    let noted = folder.fetched(commit, path);
    if let Some(Fetched { size, .. }) = noted {
        let length = found.metadata()?.len();
        if length != size {
            bail!("{path}: incomplete, expected {size} bytes, found {length}");
        }
    }
    let blob = match &noted {
        Some(noted) => Some(noted.blob.clone()),
        None => found.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned()),
    };
    let proof = match blob.filter(|blob| is_sha256(blob)) {
        Some(expected) => {
            let hash = sha256(found)?;
            if !hash.eq_ignore_ascii_case(&expected) {
                bail!("{path}: the bytes have SHA-256 {hash}, the hub says {expected}");
            }
            Proof::Hash
        }
        None if noted.is_some() => Proof::Size,
        None => Proof::Form,
    };
    content::check(found, path)?;
    Ok(proof)
}

/// Re-reads all that is here, and fails on what is wrong or missing.
pub fn run(cache: &HubCache, wanted: &Wanted) -> Result<()> {
    let folder = RepoFolder::new(cache, &wanted.repository);
    let commit = cache.commit(&wanted.repository);
    let mut problems = Vec::new();
    let mut checked = 0;
    for file in &wanted.files {
        let path = &file.path;
        match wanted.state(cache, file) {
            State::Here(found) => match examine(&folder, &commit, path, &found) {
                Ok(proof) => {
                    checked += 1;
                    let by = match proof {
                        Proof::Hash => "SHA-256",
                        Proof::Size => "size",
                        Proof::Form => "form",
                    };
                    println!("right by its {by}: {path}");
                }
                Err(problem) => problems.push(format!("{problem:#}")),
            },
            State::Damaged(problem) => problems.push(format!("{path}: {problem}")),
            State::Missing(problem) if file.needed => problems.push(format!("{path}: {problem}")),
            State::Missing(_) | State::Absent => {}
        }
    }
    let given = &wanted.given;
    if !problems.is_empty() {
        bail!("{}\nfetch it again with\n    cargo xtask fetch {given} --force", problems.join("\n"));
    }
    if checked == 0 {
        bail!("nothing of {given} is here: bring it with\n    cargo xtask fetch {given}");
    }
    Ok(())
}
