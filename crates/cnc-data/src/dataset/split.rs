//! One of the three parts of a dataset: its rows, their labels and groups, and batches of them.

use std::fmt;

use candle_core::{Device, Tensor};
use cnc_base::inputs::Inputs;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::DataError;
use crate::content::{Augment, Tensors, TextRows, Views};
use crate::image::Picture;
use crate::image::transform::RandomView;
use crate::manifest::SplitName;
use crate::preparation::Preparation;
use crate::rows::{Group, Groups, Source, Sources};
use crate::text::bucket;

/// One of the three parts of a [`Dataset`](crate::Dataset).
pub struct Split {
    pub(super) name: SplitName,
    pub(super) labels: Vec<u32>,
    pub(super) attributes: Vec<u32>,
    pub(super) groups: Groups,
    pub(super) counterfactuals: Option<usize>,
    pub(super) content: Content,
    pub(super) preparation: Preparation,
    /// None where a program holds the rows.
    pub(crate) sources: Option<Sources>,
}

/// What the rows of a split hold.
pub(super) enum Content {
    Images(Views),
    Texts(TextRows),
    Tensors(Tensors),
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Some rows of a split, ready for a network. Groups are not in it, so that no method sees them by accident.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What a network reads, on the CPU.
    pub inputs: Inputs,
    /// `(batch,)`, u32.
    pub labels: Tensor,
    /// The split's rows that these are.
    pub indices: Vec<u32>,
}

impl Split {
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
            Content::Images(views) => Some(views.shape()),
            Content::Tensors(tensors) => Some(tensors.shape()),
            Content::Texts(_) => None,
        }
    }

    /// Whether [`Augment::Random`] shows other views of a row than [`Augment::None`].
    #[must_use]
    pub fn augments(&self) -> bool {
        match &self.content {
            Content::Images(views) => views.augments(),
            Content::Texts(_) | Content::Tensors(_) => false,
        }
    }

    /// Whether what a network sees is a crop of the images, which may be at another place in training.
    #[must_use]
    pub fn is_cropped(&self) -> bool {
        matches!(&self.content, Content::Images(views) if views.is_cropped())
    }

    /// Whether resized crops can be taken of the images: of those that the manifest or
    /// [`OpenOptions::resized_crops`](crate::OpenOptions::resized_crops) asks for them of, and of those that are too many to be kept.
    #[must_use]
    pub fn is_resizable(&self) -> bool {
        matches!(&self.content, Content::Images(views) if views.are_resized())
    }

    /// The rows of an epoch as they are drawn, `size` at a time, from a shuffled order of them. Texts of about the same
    /// length come into the same batch, and the batches in random order; images stay in the order given.
    #[must_use]
    pub fn epoch(&self, order: Vec<u32>, size: usize, seed: u64) -> Vec<u32> {
        match &self.content {
            Content::Images(_) | Content::Tensors(_) => order,
            Content::Texts(texts) => {
                let length = |row| texts.length(row).unwrap_or(0);
                bucket::epoch(order, size, length, &mut ChaCha8Rng::seed_from_u64(seed))
            }
        }
    }

    /// Some rows in batches of at most `most` for evaluation, as places in `rows`: images in their order, texts by length.
    #[must_use]
    pub fn evaluation_batches(&self, rows: &[u32], most: usize) -> Vec<Vec<usize>> {
        match &self.content {
            Content::Images(_) | Content::Tensors(_) => {
                (0..rows.len()).collect::<Vec<_>>().chunks(most.max(1)).map(<[usize]>::to_vec).collect()
            }
            Content::Texts(texts) => {
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
            Content::Images(views) => {
                if !self.is_resizable()
                    && matches!(augment, Augment::Views { views, .. } if matches!(views.part, RandomView::ResizedCrop { .. }))
                {
                    let problem = "has to be set where resized crops are taken: the decoded images were not kept";
                    return Err(DataError::Option { name: "resized_crops", problem: problem.to_string() });
                }
                let images = views.batch(rows, augment)?;
                Inputs::Images(images.ok_or_else(|| self.batch_error("images that are not there".to_string()))?)
            }
            Content::Tensors(tensors) => Inputs::Images(tensors.batch(rows)?),
            Content::Texts(texts) => texts.batch(rows).map(Inputs::Tokens).ok_or_else(|| {
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
        let picture = match &self.content {
            Content::Images(views) => views.picture(row)?,
            Content::Tensors(tensors) => tensors.picture(row)?,
            Content::Texts(_) => return Err(self.batch_error(format!("picture of row {row}, a text,"))),
        };
        picture.ok_or_else(|| self.batch_error(format!("row {row}")))
    }

    /// The whole text of a row, where the rows are texts.
    #[must_use]
    pub fn text(&self, row: u32) -> Option<&str> {
        match &self.content {
            Content::Images(_) | Content::Tensors(_) => None,
            Content::Texts(texts) => texts.text(row),
        }
    }

    /// Number of tokens of a row's text, where there are tokens.
    #[must_use]
    pub fn tokens(&self, row: u32) -> Option<usize> {
        match &self.content {
            Content::Images(_) | Content::Tensors(_) => None,
            Content::Texts(texts) => texts.length(row),
        }
    }

    /// The file that a row stands in, and where; none where a program holds the rows in memory.
    #[must_use]
    pub fn source(&self, row: u32) -> Option<Source<'_>> {
        self.sources.as_ref()?.of(row)
    }

    /// Tells `digest` what the rows are, byte by byte: their labels, attributes and texts with their tokens, the pixels of
    /// images that are kept in memory, the names and lengths of others. Where the files are is no part of it.
    pub fn tell(&self, digest: &mut dyn FnMut(&[u8])) {
        for of_rows in [&self.labels, &self.attributes] {
            of_rows.iter().for_each(|number| digest(&number.to_le_bytes()));
        }
        match &self.content {
            Content::Images(views) => views.tell(digest),
            Content::Texts(texts) => texts.tell(digest),
            Content::Tensors(tensors) => tensors.tell(digest),
        }
    }

    fn batch_error(&self, problem: String) -> DataError {
        DataError::Batch { split: self.name.as_str(), len: self.len(), problem }
    }
}
