//! Where the encoded image of every row is, and reading one of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::pack::Pack;
use crate::image::ImageError;
use crate::image::file::in_any_form;
use crate::image::probe::{HEAD, Probe, TAIL};
use crate::manifest::Manifest;
use crate::row_place::{RowPlace, RowPlaces};
use crate::rows::{Row, Table};
use crate::{DataError, HubCache};

/// Threads that read the ends of files: many more than cores, because they wait for the disk.
const READERS: usize = 32;

/// The encoded images of a dataset, at random access.
pub(crate) struct Images {
    files: Vec<ImageFile>,
    max_pixels: u64,
}

/// The images of one file of rows.
struct ImageFile {
    /// The file of rows, for messages.
    table: String,
    column: String,
    /// Where its rows stand.
    rows: RowPlaces,
    place: Place,
}

enum Place {
    /// No row of this file is used.
    Nowhere,
    /// A file for each row.
    Folder { root: PathBuf, names: Vec<String> },
    /// One file for all rows.
    Pack(Pack),
}

impl Images {
    /// Images in files of their own, and those of parquet files in packs, which are made where they are not there yet.
    ///
    /// `used` says of each file whether a row of it is used.
    pub(crate) fn open(
        manifest: &Manifest,
        tables: &[Table],
        used: &[bool],
        cache: &HubCache,
        max_pixels: u64,
    ) -> Result<Self, DataError> {
        let column = &manifest.layout.input.column;
        let place = |(table, used): (&Table, &bool)| {
            let place = match table.with_images(column) {
                _ if !used => Place::Nowhere,
                Some(file) => Place::Pack(Pack::open_or_make(file, column, cache)?),
                None => {
                    let root = manifest.image_folder()?;
                    let cells = table.cells(column)?;
                    let names = cells.iter().map(|cell| name_in(&root, cell.text())).collect();
                    Place::Folder { root, names }
                }
            };
            Ok(ImageFile { table: table.name().to_string(), column: column.clone(), rows: table.places(), place })
        };
        let files = tables.par_iter().zip(used).map(place).collect::<Result<_, DataError>>()?;
        Ok(Self { files, max_pixels })
    }

    /// The largest number of pixels of an image that is read.
    pub(crate) fn max_pixels(&self) -> u64 {
        self.max_pixels
    }

    /// The bytes of a row's image.
    pub(crate) fn read(&self, row: Row, into: &mut Vec<u8>) -> Result<(), DataError> {
        into.clear();
        let read = match self.place(row) {
            Place::Nowhere => Err("the file was not opened".to_string()),
            Place::Folder { root, names } => match names.get(row.row) {
                None => Err("there is no such row".to_string()),
                Some(name) => File::open(root.join(name))
                    .and_then(|mut file| file.read_to_end(into))
                    .map(drop)
                    .map_err(|e| format!("{}: cannot be read ({e})", root.join(name).display())),
            },
            Place::Pack(pack) => pack.read(row.row, into),
        };
        read.map_err(|problem| {
            let (file, column) = self.named(row);
            DataError::Row { file, place: self.place_of(row), column, problem }
        })
    }

    /// What a row's image is, as far as that is known without reading it: its name and its length.
    pub(crate) fn tell(&self, row: Row, digest: &mut dyn FnMut(&[u8])) {
        let length = match self.place(row) {
            Place::Nowhere => None,
            Place::Folder { root, names } => names.get(row.row).and_then(|name| {
                digest(name.as_bytes());
                root.join(name).metadata().ok().map(|found| found.len())
            }),
            Place::Pack(pack) => pack.range(row.row).map(|(_, length)| length),
        };
        digest(&length.unwrap_or_default().to_le_bytes());
    }

    /// An error about the image of a row; it names the image's own file where there is one.
    pub(crate) fn error(&self, row: Row, problem: &ImageError) -> DataError {
        let image = match self.place(row) {
            Place::Folder { root, names } => names.get(row.row).map(|name| root.join(name)),
            Place::Nowhere | Place::Pack(_) => None,
        };
        let (file, column) = self.named(row);
        DataError::Image { file, place: self.place_of(row), column, image, problem: problem.clone() }
    }

    fn place(&self, row: Row) -> &Place {
        self.files.get(row.file).map_or(&Place::Nowhere, |file| &file.place)
    }

    fn place_of(&self, row: Row) -> RowPlace {
        self.files.get(row.file).map_or(RowPlace::row(row.row), |file| file.rows.of(row.row))
    }

    /// The file and the column of a row.
    fn named(&self, row: Row) -> (String, String) {
        let of_file = |file: &ImageFile| (file.table.clone(), file.column.clone());
        self.files.get(row.file).map(of_file).unwrap_or_default()
    }

    /// What is wrong with the images of `rows` as far as their names, their files and both ends of their bytes tell, in
    /// the order of the rows: some microseconds an image.
    pub(crate) fn probe(&self, rows: &[Row]) -> Vec<Option<(Probe, DataError)>> {
        let parents = self.parents(rows);
        let verdict = |row: &Row| {
            let (probe, problem) = self.probe_one(*row, &parents)?;
            Some((probe, self.error(*row, &problem.into())))
        };
        let probe = || rows.par_iter().with_min_len(16).map(verdict).collect();
        match ThreadPoolBuilder::new().num_threads(READERS).build() {
            Ok(readers) => readers.install(probe),
            // A machine that has no more threads to give.
            Err(_) => probe(),
        }
    }

    /// The true paths of all folders that hold images, and of the folder that they must be in.
    fn parents(&self, rows: &[Row]) -> HashMap<PathBuf, PathBuf> {
        let mut parents = HashMap::new();
        let mut add = |path: &Path| {
            if !parents.contains_key(path) {
                let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
                parents.insert(path.to_path_buf(), real);
            }
        };
        for row in rows {
            if let Place::Folder { root, names } = self.place(*row) {
                add(root);
                if let Some(parent) = names.get(row.row).and_then(|name| Path::new(name).parent()) {
                    add(&root.join(parent));
                }
            }
        }
        parents
    }

    fn probe_one(&self, row: Row, parents: &HashMap<PathBuf, PathBuf>) -> Option<(Probe, String)> {
        match self.place(row) {
            Place::Folder { root, names } => {
                let name = names.get(row.row)?;
                let path = root.join(name);
                match inside(root, name, &path, parents) {
                    Ok(()) => self.probe_file(File::open(&path), 0, None),
                    Err(problem) => Some((Probe::Bad, problem)),
                }
            }
            Place::Pack(pack) => match pack.range(row.row) {
                Some((start, length)) => self.probe_file(pack.file(), start, Some(length)),
                None => Some((Probe::Bad, "is null; every row needs the bytes of an image".to_string())),
            },
            Place::Nowhere => None,
        }
    }

    fn probe_file(&self, file: std::io::Result<File>, start: u64, length: Option<u64>) -> Option<(Probe, String)> {
        let ends = file.and_then(|mut file| {
            let length = match length {
                Some(length) => length,
                None => file.metadata()?.len(),
            };
            let part = HEAD.max(TAIL).min(usize::try_from(length).unwrap_or(usize::MAX));
            let (mut head, mut tail) = (vec![0; part], vec![0; part]);
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut head)?;
            file.seek(SeekFrom::Start(start + length - part as u64))?;
            file.read_exact(&mut tail)?;
            Ok((head, tail, length))
        });
        match ends {
            Err(e) => Some((Probe::Bad, format!("cannot be read ({e})"))),
            Ok((head, tail, length)) => Probe::new(&head, &tail, length, self.max_pixels),
        }
    }
}

/// The name that an image of this name has in its folder.
pub(super) fn name_in(root: &Path, name: String) -> String {
    if name.is_ascii() {
        return name;
    }
    let found = in_any_form(&root.join(&name));
    found.strip_prefix(root).ok().and_then(Path::to_str).map_or(name, str::to_owned)
}

/// Whether the path of an image stays in its folder and leads to a file.
fn inside(root: &Path, name: &str, path: &Path, parents: &HashMap<PathBuf, PathBuf>) -> Result<(), String> {
    let leaves = || "is outside the dataset's folder; copy it into the folder".to_string();
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves());
    }
    let found = path.symlink_metadata().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            "is not there: copy it, or correct the row or the folder of [input]".to_string()
        }
        _ => format!("cannot be read ({e})"),
    })?;
    let real_root = parents.get(root).map_or(root, PathBuf::as_path);
    let is_inside = |real: &Path| real.starts_with(real_root);
    if path.parent().and_then(|parent| parents.get(parent)).is_some_and(|parent| !is_inside(parent)) {
        return Err(leaves());
    }
    let is_file = if found.is_symlink() {
        let real = path.canonicalize().map_err(|e| format!("is a link that leads nowhere ({e})"))?;
        if !is_inside(&real) {
            return Err(leaves());
        }
        real.is_file()
    } else {
        found.is_file()
    };
    if !is_file {
        return Err("is not a file; an image is needed".to_string());
    }
    Ok(())
}
