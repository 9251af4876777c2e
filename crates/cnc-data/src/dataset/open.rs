//! From a manifest to a dataset.

use std::sync::Arc;

use super::split::{Content as Held, Split};
use crate::DataError;
use crate::content::{Skipped, TextRows, Views, open_images};
use crate::manifest::{Content, Manifest, SplitName};
use crate::options::OpenOptions;
use crate::preparation::{ImagePreparation, Preparation, TextPreparation};
use crate::rows::{Files, Groups, Rows, SplitRows};
use crate::text::TextTokenizer;

/// A dataset whose rows were all read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Dataset {
    /// The manifest's name for it.
    pub name: String,
    /// Names of the classes; a label is an index into them.
    pub classes: Vec<String>,
    /// Names of the spurious attribute's values; empty where the manifest names no attribute.
    pub attributes: Vec<String>,
    /// Fitted on.
    pub train: Arc<Split>,
    /// Selected on.
    pub validation: Arc<Split>,
    /// Reported once.
    pub test: Arc<Split>,
    /// What a user should know of the data before trusting a result.
    pub notes: Vec<String>,
    /// Rows that were left out because their images cannot be read.
    pub skipped: Vec<Skipped>,
    /// What evaluation makes of an input.
    pub preparation: Preparation,
}

impl Dataset {
    /// Reads and checks everything that the manifest names.
    ///
    /// What is small once decoded is decoded here. The images of a larger dataset are looked at: those that do not look
    /// whole are decoded here, the others when a batch needs them.
    ///
    /// The result depends on the manifest and the options alone. A limit changes neither the colour nor the split of the
    /// rows that it keeps.
    ///
    /// # Errors
    /// A file that is missing or damaged, a row with a bad cell or an image that does not decode, a split without
    /// rows, a class without rows: see [`DataError`].
    pub fn open(manifest: &Manifest, options: &OpenOptions) -> Result<Self, DataError> {
        match &manifest.content {
            Content::Images(transform) => {
                Self::refuse_for_images(options)?;
                let mut rows = SplitRows::read(manifest, options)?;
                let files = rows.files(Some(&manifest.layout.input.column));
                let (pixels, skipped) = open_images(manifest, transform, &mut rows, options)?;
                let [train, validation, test] = pixels.map(|pixels| {
                    Views::new(transform, pixels).map_err(|problem| manifest.error("transform.crop", problem))
                });
                let (train, validation, test) = (train?, validation?, test?);
                let preparation = Preparation::Image(ImagePreparation::new(transform, train.stored()));
                Ok(Self::new(manifest, rows, &files, [train, validation, test].map(Held::Images), skipped, preparation))
            }
            Content::Texts(rules) => {
                let max_length = options.max_length.unwrap_or(rules.max_length);
                let tokenizer = options.tokenizer.as_deref();
                // First of all: reading half a million rows takes longer.
                let tokenizer = tokenizer.map(|path| TextTokenizer::open(path, max_length)).transpose()?;
                let mut rows = SplitRows::read(manifest, options)?;
                let files = rows.files(None);
                let texts = TextRows::open(manifest, &mut rows, tokenizer.as_ref(), options)?;
                let column = manifest.layout.input.column.clone();
                let preparation = Preparation::Text(TextPreparation { column, max_length });
                Ok(Self::new(manifest, rows, &files, texts.map(Held::Texts), Vec::new(), preparation))
            }
        }
    }

    /// One of the three splits.
    #[must_use]
    pub fn split(&self, name: SplitName) -> &Arc<Split> {
        match name {
            SplitName::Train => &self.train,
            SplitName::Validation => &self.validation,
            SplitName::Test => &self.test,
        }
    }

    fn refuse_for_images(options: &OpenOptions) -> Result<(), DataError> {
        let given = [("tokenizer", options.tokenizer.is_some()), ("max_length", options.max_length.is_some())];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((name, _)) => {
                Err(DataError::Option { name, problem: "is of texts; this dataset holds images".to_string() })
            }
        }
    }

    fn new(
        manifest: &Manifest,
        rows: SplitRows,
        files: &Files,
        held: [Held; 3],
        skipped: Vec<Skipped>,
        preparation: Preparation,
    ) -> Self {
        let sources = SplitName::ALL.map(|split| rows.sources(split, files));
        let split = |name, rows: &Rows, content, sources| {
            let (labels, attributes) = (rows.shown_labels(), rows.shown_attributes());
            Arc::new(Split {
                name,
                groups: Groups::new(manifest, &labels, &attributes, &rows.rows),
                labels,
                attributes,
                counterfactuals: rows.counterfactuals(),
                content,
                preparation: preparation.clone(),
                sources: Some(sources),
            })
        };
        let [train, validation, test] = held;
        let [train_sources, validation_sources, test_sources] = sources;
        let [train_rows, validation_rows, test_rows] = rows.splits;
        Self {
            name: manifest.name().to_string(),
            classes: manifest.classes().to_vec(),
            attributes: manifest.attributes().to_vec(),
            train: split(SplitName::Train, &train_rows, train, train_sources),
            validation: split(SplitName::Validation, &validation_rows, validation, validation_sources),
            test: split(SplitName::Test, &test_rows, test, test_sources),
            notes: rows.notes,
            skipped,
            preparation,
        }
    }
}
