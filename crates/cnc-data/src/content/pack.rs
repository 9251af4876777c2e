//! The images of a parquet file, one after the other in a file of the cache.
//!
//! In parquet a row's bytes are inside a compressed page together with those of many other rows: reading rows in random
//! order would unpack a page for each. So the pages are unpacked once, in order and a few at a time, into a file that
//! knows where every image is. The images stay encoded as they are. The file has its name when it is complete.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cnc_base::files::AtomicFile;
use cnc_base::seeds::fnv1a_64;

use crate::table::parquet::ParquetFile;
use crate::{DataError, HubCache};

/// First and last bytes of a pack.
const MAGIC: &[u8; 16] = b"cnc image pack 1";
/// Number of images, then the magic.
const TRAILER: u64 = 8 + MAGIC.len() as u64;
/// The folder of the packs in the cache.
const FOLDER: &str = ".cnc-images";

/// An open pack: where its images are.
pub(crate) struct Pack {
    path: PathBuf,
    /// Where each image starts, and where the last one ends.
    offsets: Vec<u64>,
}

impl Pack {
    /// The pack of a file's column; made first where it is not there.
    pub(crate) fn open_or_make(file: &ParquetFile, column: &str, cache: &HubCache) -> Result<Self, DataError> {
        let path = cache.root().join(FOLDER).join(name(file, column)?);
        if let Some(pack) = Self::open(&path, file.rows()) {
            return Ok(pack);
        }
        make(file, column, &path)?;
        Self::open(&path, file.rows()).ok_or_else(|| DataError::File {
            file: path.display().to_string(),
            problem: "was written but cannot be read back: is the disk damaged?".to_string(),
        })
    }

    /// Nothing where there is no pack, or one that is damaged: it is made again.
    fn open(path: &Path, rows: usize) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let index = 8 * (rows as u64 + 1);
        let start = length.checked_sub(index + TRAILER)?;
        file.seek(SeekFrom::Start(start)).ok()?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).ok()?;
        let (offsets, trailer) = end.split_at_checked(usize::try_from(index).ok()?)?;
        if trailer.get(8..)? != MAGIC || trailer.get(..8)? != (rows as u64).to_le_bytes() {
            return None;
        }
        let offsets: Vec<u64> =
            offsets.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes)).collect();
        let is_sound = offsets.is_sorted() && offsets.first()? == &(MAGIC.len() as u64) && offsets.last()? == &start;
        is_sound.then(|| Self { path: path.to_path_buf(), offsets })
    }

    /// Start and length of a row's image; nothing where it is null.
    pub(crate) fn range(&self, row: usize) -> Option<(u64, u64)> {
        let (start, end) = (self.offsets.get(row)?, self.offsets.get(row + 1)?);
        (end > start).then(|| (*start, end - start))
    }

    /// The file of the images.
    pub(crate) fn file(&self) -> std::io::Result<File> {
        File::open(&self.path)
    }

    /// The bytes of a row's image.
    pub(crate) fn read(&self, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
        let (start, length) = self.range(row).ok_or("is null; every row needs the bytes of an image")?;
        let read = |mut file: File| {
            file.seek(SeekFrom::Start(start))?;
            file.take(length).read_to_end(into)
        };
        match self.file().and_then(read) {
            Ok(found) if found as u64 == length => Ok(()),
            Ok(_) => Err(format!("the cache file {} lost its end: remove it", self.path.display())),
            Err(e) => Err(format!("the cache file {} cannot be read ({e})", self.path.display())),
        }
    }
}

/// A name that changes when the file does.
fn name(file: &ParquetFile, column: &str) -> Result<String, DataError> {
    let path = file.path().ok_or_else(|| DataError::File {
        file: file.name().to_string(),
        problem: "is part of the program and has no place on disk".to_string(),
    })?;
    let io = |source| DataError::Io { path: path.to_path_buf(), source };
    let real = path.canonicalize().map_err(io)?;
    let found = real.metadata().map_err(io)?;
    let changed = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let identity = format!("{}\n{}\n{}\n{column}", real.display(), found.len(), changed.as_nanos());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!("{stem}-{:016x}.images", fnv1a_64(&identity)))
}

fn make(file: &ParquetFile, column: &str, path: &Path) -> Result<(), DataError> {
    let io = |source: std::io::Error| DataError::File {
        file: path.display().to_string(),
        problem: format!(
            "the images of {} cannot be unpacked into the cache ({source}); HF_HOME names another place for it",
            file.name()
        ),
    };
    let mut out = AtomicFile::create_shared(path).map_err(io)?;
    out.write_all(MAGIC).map_err(io)?;
    let mut offsets = vec![MAGIC.len() as u64];
    let mut end = MAGIC.len() as u64;
    for rows in file.images(column)? {
        let rows = rows?;
        for i in 0..rows.len() {
            let bytes = rows.bytes_or_null(i);
            out.write_all(bytes).map_err(io)?;
            end += bytes.len() as u64;
            offsets.push(end);
        }
    }
    for offset in &offsets {
        out.write_all(&offset.to_le_bytes()).map_err(io)?;
    }
    out.write_all(&(offsets.len() as u64 - 1).to_le_bytes()).map_err(io)?;
    out.write_all(MAGIC).and_then(|()| out.finish()).map_err(io)
}
