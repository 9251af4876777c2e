//! A manifest and a recipe for data that have none, from what they look like.
//!
//! `guess` decides which column is what, `manifest` and `recipe` write it down; nothing is trained, and nothing that is there is
//! overwritten.

mod guess;
mod manifest;
mod recipe;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use cnc_base::files::write_atomically;
use cnc_data::survey::{Sample, Survey};

use crate::error::UsageError;
use guess::Guess;

/// What the user knows better than any guess.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Wishes {
    /// The column of the images or of their file names, or of the texts.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) input: Option<String>,
    /// The column of the classes.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) class: Option<String>,
    /// The column of what may tempt a model and has nothing to do with the class: figures are then by class and attribute.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) attribute: Option<String>,
    /// The column that says which rows are for training, validation and test [default: drawn at random]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) split: Option<String>,
    /// The column whose rows of one value belong together, such as a patient's: all in one split.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) keep_together: Option<String>,
    /// The model [default: lenet for images, bert for texts]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// What the data are called: in the names of runs [default: the name of the folder or the table]
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// A line of what was assumed.
#[derive(Debug)]
pub(crate) struct Assumption {
    /// Of what: input, class, ...
    pub(crate) of: &'static str,
    /// What is taken.
    pub(crate) taken: String,
    /// Why, or what it looks like.
    pub(crate) seen: String,
}

/// What `init` would write.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where.
    pub(crate) folder: PathBuf,
    /// What the data are called.
    pub(crate) name: String,
    /// What was assumed.
    pub(crate) assumed: Vec<Assumption>,
    /// What looks wrong.
    pub(crate) warnings: Vec<String>,
    /// Names and contents of the files.
    pub(crate) files: Vec<(&'static str, String)>,
}

/// Looks at the data and decides.
///
/// # Errors
/// Nothing that can be trained on is there, or what is what cannot be told: with the flag that tells it.
pub(crate) fn plan(data: &Path, wishes: &Wishes) -> Result<Plan> {
    let survey = Survey::of(data)?;
    let guess = Guess::of(&survey, wishes)?;
    let (manifest, recipe) = (manifest::text(&survey, &guess), recipe::text(&guess));
    let mut files = vec![("dataset.toml", manifest), ("recipe.toml", recipe)];
    if !survey.samples.is_empty() {
        files.push((manifest::SAMPLES, samples(&survey.samples)?));
    }
    let Guess { name, assumed, warnings, .. } = guess;
    Ok(Plan { folder: survey.folder, name, assumed, warnings, files })
}

impl Plan {
    /// Writes the files; gives their paths.
    ///
    /// # Errors
    /// One of them is there already, or cannot be written.
    pub(crate) fn write(&self) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = self.files.iter().map(|(name, _)| self.folder.join(name)).collect();
        if let Some(there) = paths.iter().find(|path| path.exists()) {
            let problem = format!(
                "{} is there already, and nothing is overwritten\n  hint: move it away, or see with --dry-run what would be written",
                there.display()
            );
            return Err(UsageError(problem).into());
        }
        for (path, (_, text)) in paths.iter().zip(&self.files) {
            write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(paths)
    }
}

/// The table of images that lie in folders.
fn samples(samples: &[Sample]) -> Result<String> {
    let with_splits = samples.iter().any(|sample| sample.split.is_some());
    let mut table = csv::Writer::from_writer(Vec::new());
    let row = |file: &str, class: &str, split: &str| -> Vec<String> {
        let columns = if with_splits { vec![file, class, split] } else { vec![file, class] };
        columns.into_iter().map(str::to_owned).collect()
    };
    table.write_record(row("file", "class", "split"))?;
    for Sample { file, class, split } in samples {
        table.write_record(row(file, class, split.as_deref().unwrap_or_default()))?;
    }
    let bytes = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(String::from_utf8(bytes)?)
}
