//! A file that only grows, but for its end being cut off when a run goes on from before it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

#[derive(Debug)]
pub(super) struct GrowingFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl GrowingFile {
    pub(super) fn open(path: PathBuf, length: u64) -> Result<Self> {
        let open = || -> std::io::Result<(File, u64)> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let found = file.metadata()?.len();
            if found > length {
                file.set_len(length)?;
            }
            Ok((file, found))
        };
        let (file, found) = open().with_context(|| format!("cannot open {}", path.display()))?;
        if found < length {
            bail!(
                "{} has {found} bytes, the checkpoint knows of {length}\n  hint: remove the run folder and start again",
                path.display()
            );
        }
        Ok(Self { file, path, length })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .with_context(|| format!("cannot write {} ({} bytes more)", self.path.display(), bytes.len()))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Length of what is on the disk.
    pub(super) fn sync(&self) -> Result<u64> {
        self.file
            .sync_data()
            .with_context(|| format!("cannot write {} ({} bytes)", self.path.display(), self.length))?;
        Ok(self.length)
    }
}
