//! An open dataset: three splits of labelled images, their groups, and batches of them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::DataError;
use crate::groups::{Group, Groups};
use crate::hub::HubCache;
use crate::image::Picture;
use crate::image::decode::MAX_PIXELS;
use crate::manifest::{Content, Manifest, SplitName};
use crate::pixels::Pixels;
use crate::preparation::{ImagePreparation, Preparation, TextPreparation};
use crate::rows::{Rows, SplitRows};
use crate::text::{TextRows, TextTokenizer, bucket};
use crate::views::Views;

/// How to open a dataset.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Only the first so many rows of each split, for a smoke run.
    pub limit: Option<usize>,
    /// Seed of splits by fraction and of colours, where the manifest does not fix it.
    pub seed: u64,
    /// Where files of the hub are.
    pub hub: HubCache,
    /// Go on where the numbers of rows are not those that the manifest expects.
    pub allow_count_mismatch: bool,
    /// Leave out the rows whose images cannot be read, instead of stopping at the first.
    pub skip_unreadable: bool,
    /// Width times height of the largest image that is read.
    pub max_pixels: u64,
    /// Of texts, the tokenizer of the model: a folder with its `tokenizer.json` or `vocab.txt`, or one of these files.
    /// Without one texts can be looked at, but there are no batches of them.
    pub tokenizer: Option<PathBuf>,
    /// Of texts, the most tokens of one, in place of the manifest's `max_length`.
    pub max_length: Option<usize>,
    /// Is told while texts are tokenised: how many are done, of how many.
    pub progress: Option<fn(usize, usize)>,
}

impl Default for OpenOptions {
    /// Everything, with the hub's cache where the environment says.
    fn default() -> Self {
        Self {
            limit: None,
            seed: 0,
            hub: HubCache::from_env(),
            allow_count_mismatch: false,
            skip_unreadable: false,
            max_pixels: MAX_PIXELS,
            tokenizer: None,
            max_length: None,
            progress: None,
        }
    }
}

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

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The split that it would be in.
    pub split: SplitName,
    /// File, row and reason.
    pub problem: String,
}

/// One of the three parts of a [`Dataset`].
pub struct Split {
    name: SplitName,
    labels: Vec<u32>,
    attributes: Vec<u32>,
    groups: Groups,
    counterfactuals: Option<usize>,
    content: Held,
}

/// What the rows of a split hold.
enum Held {
    Images(Views),
    Texts(TextRows),
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Whether chance takes part in making a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augment {
    /// A fresh random view of every row, as the manifest's transform has it, drawn from this seed and the row's place in the batch.
    Random {
        /// One for each batch: equal seeds give equal crops.
        seed: u64,
    },
    /// The view of evaluation: the centre crop.
    None,
}

/// What a network reads.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// `(batch, 3, height, width)`, f32, normalised.
    Images(Tensor),
    /// Token sequences, each `(batch, length)`, u32, padded to the longest of the batch.
    Tokens {
        /// Vocabulary indices.
        ids: Tensor,
        /// 1 for a token, 0 for padding.
        mask: Tensor,
        /// The segment of each token.
        type_ids: Tensor,
    },
}

/// Some rows of a split, ready for a network. Groups are not in it, so that no method sees them by accident.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The inputs, on the CPU.
    pub inputs: Inputs,
    /// `(batch,)`, u32.
    pub labels: Tensor,
    /// The split's rows that these are.
    pub indices: Vec<u32>,
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
                let (pixels, skipped) = Pixels::open(manifest, transform, &mut rows, options)?;
                let [train, validation, test] = pixels.map(|pixels| Views::new(manifest, transform, pixels));
                let (train, validation, test) = (train?, validation?, test?);
                let preparation = Preparation::Image(ImagePreparation::new(transform, train.stored()));
                Ok(Self::new(manifest, rows, [train, validation, test].map(Held::Images), skipped, preparation))
            }
            Content::Texts(rules) => {
                let max_length = options.max_length.unwrap_or(rules.max_length);
                let tokenizer = options.tokenizer.as_deref();
                // First of all: reading half a million rows takes longer.
                let tokenizer = tokenizer.map(|path| TextTokenizer::open(path, max_length)).transpose()?;
                let mut rows = SplitRows::read(manifest, options)?;
                let texts = TextRows::open(manifest, &mut rows, tokenizer.as_ref(), options)?;
                let column = manifest.layout.input.column.clone();
                let preparation = Preparation::Text(TextPreparation { column, max_length });
                Ok(Self::new(manifest, rows, texts.map(Held::Texts), Vec::new(), preparation))
            }
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
        held: [Held; 3],
        skipped: Vec<Skipped>,
        preparation: Preparation,
    ) -> Self {
        let [train, validation, test] = held;
        let [train_rows, validation_rows, test_rows] = rows.splits;
        Self {
            name: manifest.name().to_string(),
            classes: manifest.classes().to_vec(),
            attributes: manifest.attributes().to_vec(),
            train: Arc::new(Split::new(manifest, SplitName::Train, &train_rows, train)),
            validation: Arc::new(Split::new(manifest, SplitName::Validation, &validation_rows, validation)),
            test: Arc::new(Split::new(manifest, SplitName::Test, &test_rows, test)),
            notes: rows.notes,
            skipped,
            preparation,
        }
    }
}

impl Split {
    fn new(manifest: &Manifest, name: SplitName, rows: &Rows, content: Held) -> Self {
        let (labels, attributes) = (rows.shown_labels(), rows.shown_attributes());
        Self {
            name,
            groups: Groups::new(manifest, &labels, &attributes, &rows.rows),
            labels,
            attributes,
            counterfactuals: rows.counterfactuals(),
            content,
        }
    }

    /// Which of the three it is.
    #[must_use]
    pub fn name(&self) -> SplitName {
        self.name
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true of a dataset that opened: a split without rows is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each row.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The spurious attribute of each row; empty where the manifest names no attribute. Where it names several, 1 for a
    /// row with any of them and else 0.
    ///
    /// For evaluation and for the methods that are told it; a method without group labels does not look here.
    #[must_use]
    pub fn attributes(&self) -> &[u32] {
        &self.attributes
    }

    /// The groups of evaluation: every class with every attribute, in that order, the ones without rows too. Where the
    /// manifest names several attributes a row is in as many groups as it has attributes, or in none.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups.evaluation
    }

    /// The groups of training, for methods that are told them: every class with every value of [`Split::attributes`].
    /// Each row is in exactly one.
    #[must_use]
    pub fn training_groups(&self) -> &[Group] {
        self.groups.training.as_deref().unwrap_or(&self.groups.evaluation)
    }

    /// `Some(k)` where each k consecutive rows are one image in k colours.
    #[must_use]
    pub fn counterfactuals(&self) -> Option<usize> {
        self.counterfactuals
    }

    /// `(channels, height, width)` of one image as the network sees it; texts have no such shape.
    #[must_use]
    pub fn shape(&self) -> Option<(usize, usize, usize)> {
        match &self.content {
            Held::Images(views) => Some(views.shape()),
            Held::Texts(_) => None,
        }
    }

    /// Whether [`Augment::Random`] shows other views of a row than [`Augment::None`].
    #[must_use]
    pub fn augments(&self) -> bool {
        match &self.content {
            Held::Images(views) => views.augments(),
            Held::Texts(_) => false,
        }
    }

    /// The rows of an epoch as they are drawn, `size` at a time, from a shuffled order of them. Texts of about the same
    /// length come into the same batch, and the batches in random order; images stay in the order given.
    #[must_use]
    pub fn epoch(&self, order: Vec<u32>, size: usize, seed: u64) -> Vec<u32> {
        match &self.content {
            Held::Images(_) => order,
            Held::Texts(texts) => {
                let length = |row| texts.length(row).unwrap_or(0);
                bucket::epoch(order, size, length, &mut ChaCha8Rng::seed_from_u64(seed))
            }
        }
    }

    /// Some rows in batches of at most `most` for evaluation, as places in `rows`: images in their order, texts by length.
    #[must_use]
    pub fn evaluation_batches(&self, rows: &[u32], most: usize) -> Vec<Vec<usize>> {
        match &self.content {
            Held::Images(_) => (0..rows.len()).collect::<Vec<_>>().chunks(most.max(1)).map(<[usize]>::to_vec).collect(),
            Held::Texts(texts) => {
                let length = |place: usize| rows.get(place).and_then(|row| texts.length(*row)).unwrap_or(0);
                bucket::evaluation(rows.len(), most, length)
            }
        }
    }

    /// The inputs and labels of `rows`, in that order; a row may stand more than once.
    ///
    /// # Errors
    /// No rows, a row that the split does not have, an image that does not decode, or texts that were opened without a
    /// tokenizer.
    pub fn batch(&self, rows: &[u32], augment: Augment) -> Result<Batch, DataError> {
        let label =
            |row: &u32| self.labels.get(*row as usize).copied().ok_or_else(|| self.batch_error(format!("row {row}")));
        let labels = rows.iter().map(label).collect::<Result<Vec<u32>, _>>()?;
        if rows.is_empty() {
            return Err(self.batch_error("no rows".to_string()));
        }
        let inputs = match &self.content {
            Held::Images(views) => {
                let images = views.batch(rows, augment)?;
                Inputs::Images(images.ok_or_else(|| self.batch_error("images that are not there".to_string()))?)
            }
            Held::Texts(texts) => texts.batch(rows)?.ok_or_else(|| {
                let problem = "is needed to make batches of texts: the folder of a model, with its tokenizer.json or \
                               vocab.txt";
                DataError::Option { name: "tokenizer", problem: problem.to_string() }
            })?,
        };
        Ok(Batch { inputs, labels: Tensor::from_vec(labels, rows.len(), &Device::Cpu)?, indices: rows.to_vec() })
    }

    /// The image of a row as the network sees it in evaluation, before it is normalised: for reports.
    ///
    /// # Errors
    /// A row that the split does not have, one that is a text, or an image that does not decode.
    pub fn picture(&self, row: u32) -> Result<Picture, DataError> {
        let Held::Images(views) = &self.content else {
            return Err(self.batch_error(format!("picture of row {row}, a text,")));
        };
        views.picture(row)?.ok_or_else(|| self.batch_error(format!("row {row}")))
    }

    /// The whole text of a row, where the rows are texts.
    #[must_use]
    pub fn text(&self, row: u32) -> Option<&str> {
        match &self.content {
            Held::Images(_) => None,
            Held::Texts(texts) => texts.text(row),
        }
    }

    /// Number of tokens of a row's text, where there are tokens.
    #[must_use]
    pub fn tokens(&self, row: u32) -> Option<usize> {
        match &self.content {
            Held::Images(_) => None,
            Held::Texts(texts) => texts.length(row),
        }
    }

    fn batch_error(&self, problem: String) -> DataError {
        DataError::Batch { split: self.name.as_str(), len: self.len(), problem }
    }
}
