//! Folders of images: one a class, perhaps within one a split.

use std::path::Path;

use super::column::{Column, Holds};
use super::images::ImageFiles;
use super::{Survey, data_name, names_in, unusable};
use crate::image::decode::has_image_name;
use crate::{DataError, SplitName};

/// An image file and what the folders around it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its path within the data's folder, with `/`.
    pub file: String,
    /// Its class: the name of its folder.
    pub class: String,
    /// Its split, where the outer folders are splits.
    pub split: Option<String>,
}

pub(super) fn survey(folder: &Path) -> Result<Survey, DataError> {
    let inner = folders_in(folder)?;
    let are_splits = !inner.is_empty() && inner.iter().all(|name| SplitName::called(name).is_some());
    let mut samples = Vec::new();
    if are_splits {
        for split in &inner {
            for class in folders_in(&folder.join(split))? {
                add(&mut samples, folder, &format!("{split}/{class}"), &class, Some(split))?;
            }
        }
    } else {
        for class in &inner {
            add(&mut samples, folder, class, class, None)?;
        }
    }
    if samples.is_empty() {
        return Err(unusable(
            folder,
            "has neither a table (.csv, .tsv, .txt, .jsonl, .parquet) nor a folder of images for each class"
                .to_string(),
        ));
    }
    let column = |name: &str, values: Vec<String>| Column::written(name.to_string(), &values);
    let images = ImageFiles::Named { folder: None, there: samples.len() };
    let mut columns = vec![
        Column { name: "file".to_string(), holds: Holds::Images(images), empty: 0 },
        column("class", samples.iter().map(|sample| sample.class.clone()).collect()),
    ];
    if are_splits {
        columns.push(column("split", samples.iter().filter_map(|sample| sample.split.clone()).collect()));
    }
    let (folder, name, rows) = (folder.to_path_buf(), data_name(folder), samples.len());
    Ok(Survey { folder, name, files: Vec::new(), samples, columns, rows })
}

fn folders_in(folder: &Path) -> Result<Vec<String>, DataError> {
    Ok(names_in(folder)?.into_iter().filter(|name| folder.join(name).is_dir()).collect())
}

/// The images anywhere below a class's folder.
fn add(
    samples: &mut Vec<Sample>,
    root: &Path,
    below: &str,
    class: &str,
    split: Option<&String>,
) -> Result<(), DataError> {
    let names = names_in(&root.join(below))?;
    let is_image = |name: &&String| has_image_name(Path::new(name)) && root.join(below).join(name).is_file();
    let files = names.iter().filter(is_image);
    samples.extend(files.map(|name| Sample {
        file: format!("{below}/{name}"),
        class: class.to_string(),
        split: split.cloned(),
    }));
    for inner in names.iter().filter(|name| root.join(below).join(name).is_dir()) {
        add(samples, root, &format!("{below}/{inner}"), class, split)?;
    }
    Ok(())
}
