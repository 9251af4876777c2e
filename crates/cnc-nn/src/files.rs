//! Files that are there whole or not at all, and named tensors in them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

use crate::error::{Error, Result};

/// Writes `bytes` to `path` so that a reader, or a crash at any moment, sees the old file or the new one and nothing
/// between: into `<path>.part` in the same folder, flushed to the disk, then renamed over `path`.
///
/// # Errors
/// [`Error::Write`] names the file and its size (a full disk, a missing or read-only folder). The file that was at
/// `path` before is untouched then, and the unfinished one is removed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |source| Error::Write { path: path.to_owned(), bytes: bytes.len(), source };
    let mut file = Unfinished::create(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.finish()).map_err(failed)
}

/// A file that is written piece by piece, as `<path>.part`, and has its own name when it is complete. One that is dropped
/// before is removed.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Unfinished {
    /// Begins the file that will be at `path`.
    ///
    /// # Errors
    /// The folder is missing or read-only.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Some(BufWriter::new(File::create(part_of(path))?)), path: path.to_owned() })
    }

    /// Flushes the file to the disk and gives it its name: from here on it is complete.
    ///
    /// # Errors
    /// A full disk. What was at the path before is untouched then.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_mut() {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        fs::rename(part_of(&self.path), &self.path)?;
        self.file = None;
        sync_folder_of(&self.path)
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open()?.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // What is still in memory is of no use: the file goes.
            drop(file.into_parts());
            // Best effort: the error that brought us here is the one worth telling.
            let _ = fs::remove_file(part_of(&self.path));
        }
    }
}

/// Writes named tensors to a `.safetensors` file, atomically. The same tensors always give the same bytes.
///
/// # Errors
/// [`Error::Write`] as [`write_atomically`]; [`Error::Candle`] when a tensor cannot be brought to the CPU
/// or the names alone take more than safetensors' 100 MB.
pub fn save(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let mut on_cpu = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        on_cpu.push((name, tensor.to_device(&Device::Cpu)?.contiguous()?));
    }
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(on_cpu, Some(metadata))
        .map_err(|error| candle_core::Error::from(error).with_path(path))?;
    write_atomically(path, &bytes)
}

/// Reads all tensors of a `.safetensors` file to `device`.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotSafetensors`] name the file: missing, cut short, another format, or a number
/// format that Candle does not have.
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let damaged = |reason: String| Error::NotSafetensors { path: path.to_owned(), reason };
    // Checks the whole header (sizes, offsets, overlaps, the file's length) before any tensor is made.
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            let tensor = view.load(device).map_err(|error| damaged(format!("tensor {name}: {error}")))?;
            Ok((name.to_owned(), tensor))
        })
        .collect()
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".part");
    PathBuf::from(name)
}

/// A rename is on the disk only once its folder is.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder cannot be opened as a file; the system writes renames through on its own.
#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}
