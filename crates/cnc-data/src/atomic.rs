//! Files of the cache that have their name when they are complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// Writes a file beside its place and moves it there. What `write` could not finish is removed.
pub(crate) fn write<E>(
    path: &Path,
    io: &impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = path.with_extension(format!("{}.incomplete", std::process::id()));
    fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(io)?;
    let written = || {
        let mut out = BufWriter::with_capacity(BUFFER, File::create(&temporary).map_err(io)?);
        write(&mut out)?;
        out.flush().map_err(io)?;
        fs::rename(&temporary, path).map_err(io)
    };
    let outcome = written();
    if outcome.is_err() {
        // What is left of it is of no use; the error is the one of writing.
        let _ = fs::remove_file(&temporary);
    }
    outcome
}
