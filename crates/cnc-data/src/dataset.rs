//! An open dataset: three splits of labelled images, their groups, and batches of them.

use std::fmt;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::DataError;
use crate::hub::HubCache;
use crate::image::Picture;
use crate::image::decode::MAX_PIXELS;
use crate::image::transform::{Normalisation, RandomView, Window};
use crate::manifest::{Manifest, SplitName};
use crate::pixels::{Pixels, Workspace};
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
    /// Go on where the numbers of rows are not those that the manifest expects.
    pub allow_count_mismatch: bool,
    /// Leave out the rows whose images cannot be read, instead of stopping at the first.
    pub skip_unreadable: bool,
    /// Width times height of the largest image that is read.
    pub max_pixels: u64,
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
pub struct Split {
    name: SplitName,
    labels: Vec<u32>,
    attributes: Vec<u32>,
    groups: Vec<Group>,
    counterfactuals: Option<usize>,
    pixels: Pixels,
    /// Height and width of what the network sees.
    seen: (usize, usize),
    random: RandomView,
    flip: bool,
    normalisation: Normalisation,
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
        let mut rows = SplitRows::read(manifest, options)?;
        let ([train, validation, test], skipped) = Pixels::open(manifest, &mut rows, options)?;
        let [train_rows, validation_rows, test_rows] = rows.splits;
        Ok(Self {
            name: manifest.name().to_string(),
            classes: manifest.classes().to_vec(),
            attributes: manifest.attributes().to_vec(),
            train: Arc::new(Split::new(manifest, SplitName::Train, &train_rows, train)?),
            validation: Arc::new(Split::new(manifest, SplitName::Validation, &validation_rows, validation)?),
            test: Arc::new(Split::new(manifest, SplitName::Test, &test_rows, test)?),
            notes: rows.notes,
            skipped,
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
            random: manifest.transform.random,
            flip: manifest.transform.flip,
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
        let is_random = match self.random {
            RandomView::None => false,
            RandomView::Crop => self.pixels.size() != self.seen,
            RandomView::ResizedCrop { .. } => true,
        };
        is_random || self.flip
    }

    /// The images and labels of `rows`, in that order; a row may stand more than once.
    ///
    /// # Errors
    /// No rows, a row that the split does not have, or an image that does not decode.
    pub fn batch(&self, rows: &[u32], augment: Augment) -> Result<Batch, DataError> {
        let (channels, height, width) = self.shape();
        let size = channels * height * width;
        let label =
            |row: &u32| self.labels.get(*row as usize).copied().ok_or_else(|| self.batch_error(format!("row {row}")));
        let labels = rows.iter().map(label).collect::<Result<Vec<u32>, _>>()?;
        if rows.is_empty() {
            return Err(self.batch_error("no rows".to_string()));
        }
        let views = self.views(rows.len(), augment);
        let mut values = vec![0.0; rows.len() * size];
        let places = values.par_chunks_mut(size).zip(rows).zip(&views);
        let fill = |workspace: &mut Workspace, ((out, row), view): ((&mut [f32], &u32), &View)| {
            self.fill(*row, *view, workspace, out)
        };
        // What is in memory is copied faster than it is handed to other threads.
        let together = if matches!(self.pixels, Pixels::Kept { .. }) { rows.len() } else { 1 };
        let filled: Vec<Result<(), DataError>> = places.with_min_len(together).map_init(Workspace::new, fill).collect();
        filled.into_iter().collect::<Result<(), _>>()?;
        Ok(Batch {
            inputs: Inputs::Images(Tensor::from_vec(values, (rows.len(), channels, height, width), &Device::Cpu)?),
            labels: Tensor::from_vec(labels, rows.len(), &Device::Cpu)?,
            indices: rows.to_vec(),
        })
    }

    /// One view for each row of a batch, drawn in their order: the views do not depend on threads.
    fn views(&self, count: usize, augment: Augment) -> Vec<View> {
        let stored = self.pixels.size();
        let centre = View { part: Part::Window(Window::centre(stored, self.seen)), mirrored: false };
        let Augment::Random { seed } = augment else { return vec![centre; count] };
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let draw = |_| View {
            part: match self.random {
                RandomView::None => centre.part,
                RandomView::Crop => Part::Window(Window::random(stored, self.seen, rng)),
                RandomView::ResizedCrop { scale, ratio } => Part::Resized { scale, ratio, seed: rng.random() },
            },
            mirrored: self.flip && rng.random(),
        };
        (0..count).map(draw).collect()
    }

    /// Writes a view of a row's image, `(3, height, width)`.
    fn fill(&self, row: u32, view: View, workspace: &mut Workspace, out: &mut [f32]) -> Result<(), DataError> {
        let missing = || self.batch_error(format!("row {row}"));
        match view.part {
            Part::Window(window) => {
                let pixels = self.pixels.prepared(row as usize, workspace)?.ok_or_else(missing)?;
                self.normalisation.write(&pixels, self.pixels.size().1, window, view.mirrored, out);
            }
            Part::Resized { scale, ratio, seed } => {
                let (height, width) = self.seen;
                let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                let draw = |size| Window::random_resized(size, scale, ratio, rng);
                let pixels = self.pixels.resized(row as usize, width as u32, workspace, draw)?.ok_or_else(missing)?;
                let window = Window { top: 0, left: 0, height, width };
                self.normalisation.write(&pixels, width, window, view.mirrored, out);
            }
        }
        Ok(())
    }

    /// The image of a row as the network sees it in evaluation, before it is normalised: for reports.
    ///
    /// # Errors
    /// A row that the split does not have, or an image that does not decode.
    pub fn picture(&self, row: u32) -> Result<Picture, DataError> {
        let stored = self.pixels.size();
        let image = self.pixels.prepared(row as usize, &mut Workspace::new())?;
        let image = image.ok_or_else(|| self.batch_error(format!("row {row}")))?;
        let Window { top, left, height, width } = Window::centre(stored, self.seen);
        let lines = image.chunks_exact(3 * stored.1).skip(top).take(height);
        let seen = lines.filter_map(|line| line.get(3 * left..3 * (left + width)));
        Ok(Picture { width: width as u32, height: height as u32, pixels: seen.flatten().copied().collect() })
    }

    fn batch_error(&self, problem: String) -> DataError {
        DataError::Batch { split: self.name.as_str(), len: self.len(), problem }
    }
}

/// What a batch shows of a row's image.
#[derive(Debug, Clone, Copy)]
struct View {
    part: Part,
    mirrored: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// Of the prepared image.
    Window(Window),
    /// Of the decoded image, whose size is known when it is decoded.
    Resized { scale: [f64; 2], ratio: [f64; 2], seed: u64 },
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
