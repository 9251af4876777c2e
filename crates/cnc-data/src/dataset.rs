//! A dataset in memory: three splits of labelled images, their groups, and batches of them.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::DataError;
use crate::hub::HubCache;
use crate::image::Picture;
use crate::image::transform::{Normalisation, Window};
use crate::manifest::{Manifest, SplitName};
use crate::pixels::Pixels;
use crate::rows::SplitRows;

/// How to open a dataset.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Only the first so many rows of each split, for a smoke run.
    pub limit: Option<usize>,
    /// Seed of splits by fraction and of colours, where the manifest does not fix it.
    pub seed: u64,
    /// Where files of the hub are.
    pub hub: HubCache,
}

impl Default for OpenOptions {
    /// Everything, with the hub's cache where the environment says.
    fn default() -> Self {
        Self { limit: None, seed: 0, hub: HubCache::from_env() }
    }
}

/// A dataset, decoded.
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
}

/// The rows of one class with one value of the spurious attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// `class / attribute`, or the class alone where there is no attribute.
    pub name: String,
    /// The class, as an index.
    pub class: u32,
    /// The attribute's value by name; empty where there is no attribute.
    pub attribute: String,
    /// The split's rows in this group, ascending. Possibly none: a group stays listed.
    pub rows: Vec<u32>,
}

/// One of the three parts of a [`Dataset`].
#[derive(Debug)]
pub struct Split {
    name: SplitName,
    labels: Vec<u32>,
    attributes: Vec<u32>,
    groups: Vec<Group>,
    counterfactuals: Option<usize>,
    pixels: Pixels,
    /// Height and width of what the network sees.
    seen: (usize, usize),
    normalisation: Normalisation,
}

/// Whether chance takes part in making a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augment {
    /// A fresh random crop for every row, drawn from this seed and the row's place in the batch.
    Random {
        /// One for each batch: equal seeds give equal crops.
        seed: u64,
    },
    /// The centre crop.
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
    /// Reads, decodes and checks everything that the manifest names.
    ///
    /// The result depends on the manifest and the options alone. A limit changes neither the colour nor the split of the
    /// rows that it keeps.
    ///
    /// # Errors
    /// A file that is missing or damaged, a row with a bad cell or an image that does not decode, a split without
    /// rows, a class without rows: see [`DataError`].
    pub fn open(manifest: &Manifest, options: &OpenOptions) -> Result<Self, DataError> {
        let rows = SplitRows::read(manifest, options)?;
        let [train, validation, test] = Pixels::decode(manifest, &rows)?;
        let [train_rows, validation_rows, test_rows] = rows.splits;
        Ok(Self {
            name: manifest.name().to_string(),
            classes: manifest.classes().to_vec(),
            attributes: manifest.attributes().to_vec(),
            train: Arc::new(Split::new(manifest, SplitName::Train, &train_rows, train)?),
            validation: Arc::new(Split::new(manifest, SplitName::Validation, &validation_rows, validation)?),
            test: Arc::new(Split::new(manifest, SplitName::Test, &test_rows, test)?),
        })
    }
}

impl Split {
    fn new(manifest: &Manifest, name: SplitName, rows: &crate::rows::Rows, pixels: Pixels) -> Result<Self, DataError> {
        let stored = pixels.size();
        let seen = match manifest.transform.crop {
            None => stored,
            Some(crop) => {
                let crop = crop as usize;
                if crop > stored.0.min(stored.1) {
                    let (height, width) = stored;
                    let problem = format!("{crop} is larger than the images, which are {width} x {height}");
                    return Err(manifest.error("transform.crop", problem));
                }
                (crop, crop)
            }
        };
        let (labels, attributes) = (rows.shown_labels(), rows.shown_attributes());
        Ok(Self {
            name,
            groups: groups(manifest, &labels, &attributes),
            labels,
            attributes,
            counterfactuals: rows.counterfactuals(),
            pixels,
            seen,
            normalisation: Normalisation::new(&manifest.transform),
        })
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

    /// The spurious attribute of each row; empty where the manifest names no attribute.
    ///
    /// For evaluation and for the methods that are told it; a method without group labels does not look here.
    #[must_use]
    pub fn attributes(&self) -> &[u32] {
        &self.attributes
    }

    /// Every class with every attribute, in that order, the ones without rows too.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// `Some(k)` where each k consecutive rows are one image in k colours.
    #[must_use]
    pub fn counterfactuals(&self) -> Option<usize> {
        self.counterfactuals
    }

    /// `(channels, height, width)` of one image as the network sees it.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        (3, self.seen.0, self.seen.1)
    }

    /// Whether [`Augment::Random`] shows other views of a row than [`Augment::None`].
    #[must_use]
    pub fn augments(&self) -> bool {
        self.pixels.size() != self.seen
    }

    /// The images and labels of `rows`, in that order; a row may stand more than once.
    ///
    /// # Errors
    /// No rows, or a row that the split does not have.
    pub fn batch(&self, rows: &[u32], augment: Augment) -> Result<Batch, DataError> {
        let (channels, height, width) = self.shape();
        let stored = self.pixels.size();
        let mut values = Vec::with_capacity(rows.len() * channels * height * width);
        let mut labels = Vec::with_capacity(rows.len());
        // One generator a batch, read in the order of the rows: the crops do not depend on threads.
        let mut rng = match augment {
            Augment::Random { seed } => Some(ChaCha8Rng::seed_from_u64(seed)),
            Augment::None => None,
        };
        let centre = Window::centre(stored, self.seen);
        for row in rows {
            let (image, label) = self.row(*row)?;
            let window = match &mut rng {
                None => centre,
                Some(rng) => Window {
                    top: rng.random_range(0..=stored.0 - height),
                    left: rng.random_range(0..=stored.1 - width),
                    ..centre
                },
            };
            self.normalisation.append(image, stored, window, &mut values);
            labels.push(label);
        }
        if rows.is_empty() {
            return Err(self.batch_error("no rows".to_string()));
        }
        Ok(Batch {
            inputs: Inputs::Images(Tensor::from_vec(values, (rows.len(), channels, height, width), &Device::Cpu)?),
            labels: Tensor::from_vec(labels, rows.len(), &Device::Cpu)?,
            indices: rows.to_vec(),
        })
    }

    /// The image of a row as the network sees it in evaluation, before it is normalised: for reports.
    ///
    /// # Errors
    /// A row that the split does not have.
    pub fn picture(&self, row: u32) -> Result<Picture, DataError> {
        let (image, _) = self.row(row)?;
        let (stored_height, stored_width) = self.pixels.size();
        let Window { top, left, height, width } = Window::centre((stored_height, stored_width), self.seen);
        let mut pixels = Vec::with_capacity(3 * height * width);
        for y in top..top + height {
            for x in left..left + width {
                let planes = image.chunks_exact(stored_height * stored_width);
                pixels.extend(planes.filter_map(|plane| plane.get(y * stored_width + x)));
            }
        }
        Ok(Picture { width: width as u32, height: height as u32, pixels })
    }

    fn row(&self, row: u32) -> Result<(&[u8], u32), DataError> {
        let index = row as usize;
        match (self.pixels.image(index), self.labels.get(index)) {
            (Some(image), Some(label)) => Ok((image, *label)),
            _ => Err(self.batch_error(format!("row {row}"))),
        }
    }

    fn batch_error(&self, problem: String) -> DataError {
        DataError::Batch { split: self.name.as_str(), len: self.len(), problem }
    }
}

/// All classes with all attributes; with no attribute, the classes.
fn groups(manifest: &Manifest, labels: &[u32], attributes: &[u32]) -> Vec<Group> {
    let names = manifest.attributes();
    let mut groups: Vec<Group> = Vec::new();
    for (class, class_name) in (0..).zip(manifest.classes()) {
        let group = |name, attribute| Group { name, class, attribute, rows: Vec::new() };
        if names.is_empty() {
            groups.push(group(class_name.clone(), String::new()));
        }
        groups.extend(names.iter().map(|attribute| group(format!("{class_name} / {attribute}"), attribute.clone())));
    }
    let per_class = names.len().max(1);
    for (row, label) in (0..).zip(labels) {
        let attribute = attributes.get(row as usize).map_or(0, |attribute| *attribute as usize);
        if let Some(group) = groups.get_mut(*label as usize * per_class + attribute) {
            group.rows.push(row);
        }
    }
    groups
}
