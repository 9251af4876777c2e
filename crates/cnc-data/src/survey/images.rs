//! Columns that name image files, and where these lie.

use std::path::Path;

use super::names_in;
use crate::image::decode::has_image_name;

/// The images of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFiles {
    /// Encoded, in the table.
    Inside,
    /// Names of files in this folder, itself in that of the table; none: beside the table.
    Named {
        /// The folder.
        folder: Option<String>,
        /// How many of the files are there.
        there: usize,
    },
}

/// The images that a column's values name, if they end as names of images do.
pub(super) fn named(root: &Path, values: &[String]) -> Option<ImageFiles> {
    let images = values.iter().filter(|value| has_image_name(Path::new(value))).count();
    if values.is_empty() || images * 10 < values.len() * 9 {
        return None;
    }
    let there = |folder: &Path| values.iter().filter(|value| folder.join(value.trim()).is_file()).count();
    let beside = ImageFiles::Named { folder: None, there: there(root) };
    let inner = names_in(root).unwrap_or_default().into_iter().filter(|name| root.join(name).is_dir());
    let inside = inner.map(|name| {
        let there = there(&root.join(&name));
        ImageFiles::Named { folder: Some(name), there }
    });
    let count = |images: &ImageFiles| match images {
        ImageFiles::Inside => 0,
        ImageFiles::Named { there, .. } => *there,
    };
    // The first of equals: beside the table, then in the order of the names.
    std::iter::once(beside).chain(inside).reduce(|best, other| if count(&other) > count(&best) { other } else { best })
}
