//! The files that a table names, against those that are there: looked at before anything is decoded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::images::name_in;
use crate::DataError;
use crate::image::decode::has_image_name;
use crate::manifest::{Manifest, SplitName};
use crate::row_place::RowPlace;
use crate::rows::{Row, SplitRows, Table};

/// Files that a message names.
const SHOWN: usize = 3;

/// Looks at the names of all images that are files of their own: what is to be said of them.
///
/// # Errors
/// Rows whose files are not there, all of them in one error, unless they are to be `left_out`.
pub(super) fn look_at_names(manifest: &Manifest, rows: &SplitRows, left_out: bool) -> Result<Vec<String>, DataError> {
    let column = &manifest.layout.input.column;
    if rows.files.iter().all(|table| table.with_images(column).is_some()) {
        return Ok(Vec::new());
    }
    let folder = Folder::new(manifest.image_folder()?);
    let mut names = HashMap::new();
    for (index, table) in rows.files.iter().enumerate().filter(|(_, table)| table.with_images(column).is_none()) {
        let cells = table.cells(column)?;
        names.insert(index, cells.iter().map(|cell| name_in(&folder.root, cell.text())).collect::<Vec<String>>());
    }
    if !left_out {
        refuse_missing(column, rows, &names, &folder)?;
    }
    Ok(twice(rows, &names).into_iter().chain(folder.orphans(&names)).collect())
}

/// A folder of images, and what its folders hold.
struct Folder {
    root: PathBuf,
}

impl Folder {
    fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What is likely meant by a name that is not there.
    fn meant(&self, name: &str) -> Option<String> {
        let turned = name.replace('\\', "/");
        if turned != name && is_there(&self.root.join(&turned)) {
            return Some(format!("{turned} is there: write / for \\"));
        }
        let path = Path::new(&turned);
        let (parent, file) = (path.parent()?, path.file_name()?.to_str()?.to_lowercase());
        let stem = Path::new(&file).file_stem()?.to_str()?.to_string();
        let mut listed: Vec<String> = listing(&self.root.join(parent));
        listed.sort_unstable();
        let same = listed.iter().find(|found| found.to_lowercase() == file);
        let other = listed.iter().find(|found| {
            let found = Path::new(found);
            found.file_stem().is_some_and(|of| of.to_string_lossy().to_lowercase() == stem) && has_image_name(found)
        });
        let of = |found: &String| parent.join(found).display().to_string();
        match (same, other) {
            (Some(found), _) => Some(format!("{} is there: capitals count", of(found))),
            (None, Some(found)) => Some(format!("{} is there", of(found))),
            (None, None) => None,
        }
    }

    /// A word on the images beside the named ones that no row names.
    fn orphans(&self, names: &HashMap<usize, Vec<String>>) -> Option<String> {
        let named: HashSet<PathBuf> = names.values().flatten().map(|name| self.root.join(name)).collect();
        let folders: BTreeSet<&Path> = named.iter().filter_map(|path| path.parent()).collect();
        let mut orphans: Vec<PathBuf> = Vec::new();
        for folder in folders {
            let files = listing(folder).into_iter().map(|name| folder.join(name));
            orphans.extend(files.filter(|file| has_image_name(file) && !named.contains(file)));
        }
        orphans.sort_unstable();
        let first = orphans.first()?;
        let first = first.strip_prefix(&self.root).unwrap_or(first);
        Some(format!(
            "{} in {} {} in no row of the table and left out, for example {}",
            counted(orphans.len(), "image"),
            self.root.display(),
            if orphans.len() == 1 { "is" } else { "are" },
            first.display()
        ))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn refuse_missing(
    column: &str,
    rows: &SplitRows,
    names: &HashMap<usize, Vec<String>>,
    folder: &Folder,
) -> Result<(), DataError> {
    let mut missing: BTreeMap<(usize, usize), &String> = BTreeMap::new();
    let mut used = 0_u32;
    for row in rows.splits.iter().flat_map(|rows| &rows.rows) {
        let Some(name) = names.get(&row.file).and_then(|names| names.get(row.row)) else { continue };
        used += 1;
        // What leads out of the folder is refused for that, wherever it leads.
        let stays = !Path::new(name).is_absolute() && !name.split(['/', '\\']).any(|part| part == "..");
        if stays && !is_there(&folder.root.join(name)) {
            missing.insert((row.file, row.row), name);
        }
    }
    let Some((file, _)) = missing.keys().next() else { return Ok(()) };
    let place =
        |(file, row): &(usize, usize)| rows.files.get(*file).map_or(RowPlace::row(*row), |table| table.place(*row));
    let mut first: Vec<String> = missing
        .iter()
        .take(SHOWN)
        .map(|(row, name)| match folder.meant(name) {
            Some(meant) => format!("{} {name} ({meant})", place(row)),
            None => format!("{} {name}", place(row)),
        })
        .collect();
    if missing.len() > SHOWN {
        first.push("...".to_string());
    }
    Err(DataError::MissingImages {
        file: rows.files.get(*file).map(Table::name).unwrap_or_default().to_string(),
        column: column.to_string(),
        folder: folder.root.clone(),
        missing: missing.len() as u32,
        rows: used,
        first: first.join(", "),
    })
}

/// Words on images that stand in several rows: in several splits, or with several classes.
fn twice(rows: &SplitRows, names: &HashMap<usize, Vec<String>>) -> Vec<String> {
    let mut seen: HashMap<&str, (SplitName, &Row)> = HashMap::new();
    let (mut across, mut against) = (Vec::new(), Vec::new());
    for (split, of_split) in SplitName::ALL.into_iter().zip(&rows.splits) {
        for row in &of_split.rows {
            let Some(name) = names.get(&row.file).and_then(|names| names.get(row.row)) else { continue };
            let (earlier_split, earlier) = *seen.entry(name).or_insert((split, row));
            if earlier.label != row.label {
                against.push((name, earlier, row));
            }
            if earlier_split != split {
                across.push((name, earlier, row));
            }
        }
    }
    let place = |row: &Row| match rows.files.get(row.file) {
        Some(table) => format!("{} of {}", table.place(row.row), table.name()),
        None => RowPlace::row(row.row).to_string(),
    };
    let warning = |found: &[(&String, &Row, &Row)], what: &str| {
        let (name, earlier, row) = found.first()?;
        let example = format!("{name} in {} and {}", place(earlier), place(row));
        Some(format!("warning: {} {what}, for example {example}", counted(found.len(), "row")))
    };
    [
        warning(&against, "of an image that another row names with another class: one of them is wrong"),
        warning(
            &across,
            "of an image that is in another split too: what is measured there is partly known from training",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
