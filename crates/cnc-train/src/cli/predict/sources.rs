//! Where inputs come from: files, folders, tables and standard input, one after the other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use cnc_data::image::decode::{ENDS, has_image_name};
use cnc_data::table::stream::{self, TextStream};

use crate::predict::{Given, Input, Unreadable};

/// What Windows puts into folders of pictures.
const OF_THE_SYSTEM: [&str; 2] = ["thumbs.db", "desktop.ini"];
/// Ends of the names of tables of texts, in small letters.
const TABLES: [&str; 4] = ["csv", "tsv", "jsonl", "ndjson"];
/// Stands for standard input.
const STDIN: &str = "-";

/// Image files: those that are named, those in folders that are named, in the order of their names, and those that standard
/// input names, one a line.
pub(super) struct Images {
    named: std::vec::IntoIter<PathBuf>,
    /// Of the folders that are being walked, the outer first, what is left in them: the last entry comes next.
    open: Vec<Vec<PathBuf>>,
    listed: Option<TextStream>,
    passed_over: PassedOver,
}

/// What stands in folders and is not taken for an image: how many of each end of a name.
#[derive(Debug, Clone, Default)]
pub(super) struct PassedOver(Arc<Mutex<BTreeMap<String, u64>>>);

impl PassedOver {
    fn add(&self, what: String) {
        if let Ok(mut counts) = self.0.lock() {
            *counts.entry(what).or_default() += 1;
        }
    }

    /// All of it, where there is something.
    #[must_use]
    pub(super) fn sentence(&self) -> Option<String> {
        let counts = self.0.lock().ok()?;
        let all: u64 = counts.values().sum();
        let files = if all == 1 { "file" } else { "files" };
        let each: Vec<String> = counts.iter().map(|(what, count)| format!("{what} ({count})")).collect();
        (all > 0).then(|| {
            format!(
                "left out {all} {files} of the folders by their names: {}; .{} are read, others want converting",
                each.join(", "),
                ENDS.join(" .")
            )
        })
    }
}

impl Images {
    /// The images that these paths stand for; what is left out of folders is added to `passed_over`.
    #[must_use]
    pub(super) fn of(named: Vec<PathBuf>, passed_over: &PassedOver) -> Self {
        Self { named: named.into_iter(), open: Vec::new(), listed: None, passed_over: passed_over.clone() }
    }

    fn enter(&mut self, folder: &Path, is_named: bool) -> Option<Unreadable> {
        match images_and_folders(folder, &self.passed_over) {
            Ok(entries) if entries.is_empty() && is_named => {
                let what = self.passed_over.sentence().unwrap_or_else(|| format!(".{}", ENDS.join(", .")));
                Some(Unreadable(format!("{}: no image is in this folder ({what})", folder.display())))
            }
            Ok(entries) => {
                self.open.push(entries);
                None
            }
            Err(e) => Some(Unreadable(format!("{}: the folder cannot be read ({e})", folder.display()))),
        }
    }
}

impl Iterator for Images {
    type Item = Result<Given>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entries) = self.open.last_mut() {
                match entries.pop() {
                    None => drop(self.open.pop()),
                    Some(path) if path.is_dir() => {
                        if let Some(problem) = self.enter(&path, false) {
                            return Some(Ok(Err(problem)));
                        }
                    }
                    Some(path) => return Some(Ok(Ok(Input::File(path)))),
                }
                continue;
            }
            if let Some(listed) = &mut self.listed {
                match listed.next() {
                    None => self.listed = None,
                    Some(Ok(Ok(line))) if line.is_empty() => {}
                    Some(Ok(line)) => return Some(Ok(line.map(|line| Input::File(line.into())).map_err(Unreadable))),
                    Some(Err(error)) => return Some(Err(error.into())),
                }
                continue;
            }
            let path = self.named.next()?;
            if path.as_os_str() == STDIN {
                match TextStream::open("standard input", BufReader::new(io::stdin()), &stream::Texts::Lines) {
                    Ok(listed) => self.listed = Some(listed),
                    Err(error) => return Some(Err(error.into())),
                }
            } else if path.is_dir() {
                if let Some(problem) = self.enter(&path, true) {
                    return Some(Ok(Err(problem)));
                }
            } else {
                return Some(Ok(Ok(Input::File(path))));
            }
        }
    }
}

/// The images of a folder and the folders in it, the last of their names first. What is hidden is left out without a word;
/// files with other names are counted, and so are links to folders, which may lead in circles.
fn images_and_folders(folder: &Path, passed_over: &PassedOver) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if name.starts_with('.') || OF_THE_SYSTEM.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() || (has_image_name(&path) && !path.is_dir()) {
            entries.push(path);
        } else if kind.is_symlink() && path.is_dir() {
            passed_over.add("links to folders".to_owned());
        } else {
            let end = path.extension().map(|end| format!(".{}", end.to_string_lossy().to_lowercase()));
            passed_over.add(end.unwrap_or_else(|| "without an end".to_owned()));
        }
    }
    entries.sort_unstable_by(|a, b| b.cmp(a));
    Ok(entries)
}

fn is_table(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_lowercase);
    end.is_some_and(|end| TABLES.contains(&end.as_str()))
}

/// Texts of files and of standard input: tables by their names, else one text a line.
pub(super) struct Texts {
    named: std::vec::IntoIter<PathBuf>,
    /// The column of tables.
    column: String,
    /// Whether the user named the column: then standard input and files by other names are tables, too.
    is_table: bool,
    open: Option<TextStream>,
}

impl Texts {
    /// The texts of these files, with the column that the user named, or else the one that the model was trained on.
    #[must_use]
    pub(super) fn of(named: Vec<PathBuf>, column: Option<String>, trained_on: &str) -> Self {
        let is_table = column.is_some();
        Self { named: named.into_iter(), column: column.unwrap_or_else(|| trained_on.to_owned()), is_table, open: None }
    }

    fn open(&self, path: &Path) -> Result<TextStream> {
        let texts = if self.is_table || is_table(path) {
            stream::Texts::Table { column: self.column.clone() }
        } else {
            stream::Texts::Lines
        };
        if path.as_os_str() == STDIN {
            return Ok(TextStream::open("standard input", BufReader::new(io::stdin()), &texts)?);
        }
        let name = path.display().to_string();
        if path.is_dir() {
            return Err(anyhow!("{name}: is a folder; files of texts are needed"));
        }
        let file = File::open(path).with_context(|| format!("{name}: cannot be opened"))?;
        Ok(TextStream::open(&name, BufReader::new(file), &texts)?)
    }
}

impl Iterator for Texts {
    type Item = Result<Given>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match &mut self.open {
                None => {
                    let path = self.named.next()?;
                    match self.open(&path) {
                        Ok(stream) => self.open = Some(stream),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(stream) => match stream.next() {
                    None => self.open = None,
                    Some(Ok(line)) => return Some(Ok(line.map(Input::Text).map_err(Unreadable))),
                    Some(Err(error)) => return Some(Err(error.into())),
                },
            }
        }
    }
}
