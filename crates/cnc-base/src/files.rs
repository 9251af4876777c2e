//! Files that are there whole or not at all.
//!
//! There is one way to write them: into a temporary file in the same folder, flushed to the disk, then renamed, then the
//! folder flushed to the disk. A reader, or a crash at any moment, sees the old file or the new one and nothing between.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes written at a time.
const BUFFER: usize = 1 << 18;

/// A file could not be written. What was at its place before is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {} ({bytes} bytes): {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// How many bytes it was to hold.
    pub bytes: usize,
    /// What the system says.
    pub source: io::Error,
}

/// Writes `bytes` to `path`, as [`AtomicFile`].
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("results.json");
/// cnc_base::files::write_atomically(&path, b"{}")?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`WriteError`] names the file and its size (a full disk, a missing or read-only folder). The file that was at
/// `path` before is untouched then, and the unfinished one is removed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), bytes: bytes.len(), source };
    let mut file = AtomicFile::create(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.finish()).map_err(failed)
}

/// A file that is written piece by piece under another name in the same folder, and has its own when it is complete. One
/// that is dropped before is removed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins the file that will be at `path`, as `<path>.part`: for a file that one writer at a time writes. What a
    /// killed process left there is written over.
    ///
    /// # Errors
    /// The folder is missing or read-only.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::begin(path, extended(path, ".part"))
    }

    /// Begins the file that will be at `path` under a name that no other writer has, and its folder where there is none:
    /// for a file of a cache, which several processes or threads may make at the same time. The last one to finish wins.
    ///
    /// # Errors
    /// The folder is read-only.
    pub fn create_shared(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder_of(path))?;
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::begin(path, extended(path, &format!(".{}-{number}.part", process::id())))
    }

    fn begin(path: &Path, part: PathBuf) -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, File::create(&part)?);
        Ok(Self { path: path.to_owned(), part, file: Some(file) })
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
        fs::rename(&self.part, &self.path)?;
        self.file = None;
        sync_folder_of(&self.path)
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open()?.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // What is still in memory is of no use: the file goes.
            drop(file.into_parts());
            // Best effort: the error that brought us here is the one worth telling.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Gives a complete file, which is on the disk already, the place of another one.
///
/// # Errors
/// As [`std::fs::rename`].
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn extended(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(extension);
    PathBuf::from(name)
}

/// A rename is on the disk only once its folder is.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Elsewhere a folder cannot be opened as a file; the system writes renames through on its own.
#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn an_unfinished_file_leaves_the_old_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomically(&path, b"old").unwrap();
        for begin in [AtomicFile::create, AtomicFile::create_shared] {
            let mut file = begin(&path).unwrap();
            file.write_all(b"new").unwrap();
            drop(file);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(names(folder.path()), ["weights"]);
        }
    }

    #[test]
    fn two_writers_of_a_shared_file_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let [mut one, mut other] = [(); 2].map(|()| AtomicFile::create_shared(&path).unwrap());
        one.write_all(b"aaaa").unwrap();
        other.write_all(b"bb").unwrap();
        one.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"aaaa");
        other.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"bb");
        assert_eq!(names(folder.path()), ["cache"]);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file_and_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/file");
        let error = write_atomically(&path, b"12345").unwrap_err().to_string();
        assert!(error.contains("missing/file (5 bytes)"), "{error}");
    }
}
