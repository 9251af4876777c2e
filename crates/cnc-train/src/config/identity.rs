//! Which weights a run starts from: what their bytes are, and what the hub calls them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use cnc_models::weights;
use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Hexadecimal digits of a commit.
const COMMIT: usize = 40;

/// SHA-256 of the weights that a path stands for, in hexadecimal digits: that of the file, or of the files of an index one
/// after the other. Nothing where there are no weights.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn sha256(init: &Path) -> Result<Option<String>> {
    let Some(found) = weights::find(init)? else { return Ok(None) };
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    for path in found.files()? {
        let unreadable = || format!("cannot read {}", path.display());
        let mut file = File::open(&path).with_context(unreadable)?;
        loop {
            let length = file.read(&mut chunk).with_context(unreadable)?;
            match chunk.get(..length) {
                None | Some([]) => break,
                Some(bytes) => hash.update(bytes),
            }
        }
    }
    Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The commit of a file in the hub's cache, which has it in its path: `snapshots/<commit>/`.
pub(crate) fn revision(init: &Path) -> Option<String> {
    let mut parts = init.components().map(|part| part.as_os_str().to_string_lossy());
    let commit = parts.by_ref().find(|part| part == "snapshots").and_then(|_| parts.next())?;
    let is_commit = commit.len() == COMMIT && commit.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_commit.then(|| commit.into_owned())
}
