//! Images as a network sees them: views of the prepared ones, normalised.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::pixels::{Pixels, Workspace};
use crate::DataError;
use crate::image::Picture;
use crate::image::transform::{Normalisation, RandomView, RandomViews, Transform, Window};

/// Whether chance takes part in making a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Augment {
    /// A fresh random view of every row, as the manifest's transform has it, drawn from this seed and the row's place in the batch.
    Random {
        /// One for each batch: equal seeds give equal crops.
        seed: u64,
    },
    /// The same with other views than the manifest's.
    Views {
        /// As of [`Augment::Random`].
        seed: u64,
        /// What is shown.
        views: RandomViews,
    },
    /// The view of evaluation: the centre crop.
    None,
}

/// The images of a split, and what is shown of them.
pub(crate) struct Views {
    pixels: Pixels,
    /// Height and width of what the network sees.
    seen: (usize, usize),
    random: RandomViews,
    normalisation: Normalisation,
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

impl Views {
    /// The error is about the crop.
    pub(crate) fn new(transform: &Transform, pixels: Pixels) -> Result<Self, String> {
        let (height, width) = pixels.size();
        let seen = match transform.crop {
            None => (height, width),
            Some(crop) if crop as usize > height.min(width) => {
                return Err(format!("{crop} is larger than the images, which are {width} x {height}"));
            }
            Some(crop) => (crop as usize, crop as usize),
        };
        let random = RandomViews { part: transform.random, flip: transform.flip };
        Ok(Self { pixels, seen, random, normalisation: Normalisation::new(transform) })
    }

    /// `(channels, height, width)` of one image.
    pub(crate) fn shape(&self) -> (usize, usize, usize) {
        (3, self.seen.0, self.seen.1)
    }

    /// Height and width of what the crop is taken of.
    pub(crate) fn stored(&self) -> (usize, usize) {
        self.pixels.size()
    }

    /// What the images are: see [`Split::tell`](crate::Split::tell).
    pub(crate) fn tell(&self, digest: &mut dyn FnMut(&[u8])) {
        self.pixels.tell(digest);
    }

    /// Whether training sees other views than evaluation, by the manifest.
    pub(crate) fn augments(&self) -> bool {
        let is_random = match self.random.part {
            RandomView::None => false,
            RandomView::Crop => self.is_cropped(),
            RandomView::ResizedCrop { .. } => true,
        };
        is_random || self.random.flip
    }

    /// Whether what is seen is smaller than what is stored.
    pub(crate) fn is_cropped(&self) -> bool {
        self.pixels.size() != self.seen
    }

    /// Whether resized crops can be taken.
    pub(crate) fn are_resized(&self) -> bool {
        self.pixels.are_resized()
    }

    /// `(rows, 3, height, width)`; nothing where one of the rows is not there.
    pub(crate) fn batch(&self, rows: &[u32], augment: Augment) -> Result<Option<Tensor>, DataError> {
        let (channels, height, width) = self.shape();
        let size = channels * height * width;
        let views = self.views(rows.len(), augment);
        let mut values = vec![0.0; rows.len() * size];
        let places = values.par_chunks_mut(size).zip(rows).zip(&views);
        let fill = |workspace: &mut Workspace, ((out, row), view): ((&mut [f32], &u32), &View)| {
            self.fill(*row, *view, workspace, out)
        };
        // What is in memory is copied faster than it is handed to other threads.
        let together = if matches!(self.pixels, Pixels::Kept { .. }) { rows.len() } else { 1 };
        let filled: Vec<Result<bool, DataError>> =
            places.with_min_len(together).map_init(Workspace::new, fill).collect();
        for is_there in filled {
            if !is_there? {
                return Ok(None);
            }
        }
        Ok(Some(Tensor::from_vec(values, (rows.len(), channels, height, width), &Device::Cpu)?))
    }

    /// One view for each row of a batch, drawn in their order: the views do not depend on threads.
    fn views(&self, count: usize, augment: Augment) -> Vec<View> {
        let stored = self.pixels.size();
        let centre = View { part: Part::Window(Window::centre(stored, self.seen)), mirrored: false };
        let (seed, random) = match augment {
            Augment::None => return vec![centre; count],
            Augment::Random { seed } => (seed, self.random),
            Augment::Views { seed, views } => (seed, views),
        };
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let draw = |_| View {
            part: match random.part {
                RandomView::None => centre.part,
                RandomView::Crop => Part::Window(Window::random(stored, self.seen, rng)),
                RandomView::ResizedCrop { scale, ratio } => Part::Resized { scale, ratio, seed: rng.random() },
            },
            mirrored: random.flip && rng.random(),
        };
        (0..count).map(draw).collect()
    }

    /// Writes a view of a row's image, `(3, height, width)`; false where there is no such row.
    fn fill(&self, row: u32, view: View, workspace: &mut Workspace, out: &mut [f32]) -> Result<bool, DataError> {
        let row = row as usize;
        match view.part {
            Part::Window(window) => {
                let Some(pixels) = self.pixels.prepared(row, workspace)? else { return Ok(false) };
                self.normalisation.write(&pixels, self.pixels.size().1, window, view.mirrored, out);
            }
            Part::Resized { scale, ratio, seed } => {
                let (height, width) = self.seen;
                let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                let draw = |size| Window::random_resized(size, scale, ratio, rng);
                let Some(pixels) = self.pixels.resized(row, width as u32, workspace, draw)? else { return Ok(false) };
                let window = Window { top: 0, left: 0, height, width };
                self.normalisation.write(&pixels, width, window, view.mirrored, out);
            }
        }
        Ok(true)
    }

    /// The image of a row as the network sees it in evaluation, before it is normalised; nothing where there is no such
    /// row.
    pub(crate) fn picture(&self, row: u32) -> Result<Option<Picture>, DataError> {
        let stored = self.pixels.size();
        let image = self.pixels.prepared(row as usize, &mut Workspace::new())?;
        let Window { top, left, height, width } = Window::centre(stored, self.seen);
        Ok(image.map(|image| {
            let lines = image.chunks_exact(3 * stored.1).skip(top).take(height);
            let seen = lines.filter_map(|line| line.get(3 * left..3 * (left + width)));
            Picture { width: width as u32, height: height as u32, pixels: seen.flatten().copied().collect() }
        }))
    }
}
