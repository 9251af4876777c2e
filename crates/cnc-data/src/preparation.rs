//! What evaluation makes of an input, apart from any dataset: it is saved with a model, for the inputs that the model is
//! asked about later.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cnc_base::inputs::Inputs;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::image::Picture;
use crate::image::decode::{MAX_PIXELS, decode};
use crate::image::file::in_any_form;
use crate::image::transform::{Normalisation, Preparer, RandomView, Transform, Window};
use crate::image::{ImageError, same_size};
use crate::text::{TextTokenizer, bucket};

/// How inputs become what the network reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Preparation {
    /// Images.
    Image(ImagePreparation),
    /// Texts.
    Text(TextPreparation),
    /// Tensors that a program holds: read as they are, and found in no file.
    Tensor,
}

/// The part of a manifest's transform that evaluation applies, and the size that it leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePreparation {
    /// First the centre square of the shorter side.
    pub square: bool,
    /// Then to a square of this side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resize: Option<u32>,
    /// Height in pixels of what that gives: the same for all images.
    pub height: usize,
    /// Its width in pixels.
    pub width: usize,
    /// Then the centre square of this side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crop: Option<u32>,
    /// Subtracted from each channel of values in `[0, 1]`.
    pub mean: [f64; 3],
    /// Divides each channel after that.
    pub std: [f64; 3],
}

/// How texts become tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextPreparation {
    /// The column of the texts in the tables that the model was trained on.
    pub column: String,
    /// Most tokens of a text, those that the tokenizer adds among them.
    pub max_length: usize,
}

impl ImagePreparation {
    /// Of a transform whose deterministic part gives images of this height and width.
    pub(crate) fn new(transform: &Transform, (height, width): (usize, usize)) -> Self {
        let Transform { square, resize, crop, mean, std, .. } = *transform;
        Self { square, resize, height, width, crop, mean, std }
    }
}

/// Makes inputs of image files, as evaluation makes them of a dataset's rows.
pub struct ImageInputs {
    transform: Transform,
    /// Height and width before the crop.
    stored: (usize, usize),
    /// Height and width of what the network sees.
    seen: (usize, usize),
    normalisation: Normalisation,
    max_pixels: u64,
}

/// An image that is to become an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A file of it.
    File(PathBuf),
    /// The image itself.
    Picture(Picture),
}

/// Some inputs, of which not all could be read.
pub struct Prepared {
    /// Those that could be, in their order; nothing where none could.
    pub inputs: Option<Inputs>,
    /// For each of all what is wrong with it, where it could not be read.
    pub problems: Vec<Option<ImageError>>,
}

impl ImageInputs {
    /// Images of up to `max_pixels` pixels, prepared like this.
    ///
    /// # Errors
    /// [`DataError::Option`] for a value that cannot be.
    pub fn new(preparation: &ImagePreparation, max_pixels: u64) -> Result<Self, DataError> {
        let ImagePreparation { square, resize, height, width, crop, mean, std } = *preparation;
        let transform = Transform { square, resize, crop, random: RandomView::None, flip: false, mean, std };
        transform.check().map_err(|(name, problem)| DataError::Option { name, problem })?;
        let is_of_resize = resize.is_none_or(|side| (height, width) == (side as usize, side as usize));
        let pixels = (height as u64).saturating_mul(width as u64);
        if !is_of_resize || pixels == 0 || pixels > MAX_PIXELS {
            let problem = format!("{width} x {height} is no size that images have before the crop");
            return Err(DataError::Option { name: "height", problem });
        }
        let seen = crop.map_or((height, width), |crop| (crop as usize, crop as usize));
        if seen.0 > height || seen.1 > width {
            let problem = format!("{} is larger than the images, which are {width} x {height}", seen.0);
            return Err(DataError::Option { name: "crop", problem });
        }
        let normalisation = Normalisation::new(&transform);
        Ok(Self { transform, stored: (height, width), seen, normalisation, max_pixels })
    }

    /// `(channels, height, width)` of one image as the network sees it.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        (3, self.seen.0, self.seen.1)
    }

    /// Some images, decoded on all cores: `(images, 3, height, width)`.
    ///
    /// # Errors
    /// When there is no memory for them. What is wrong with one of them is in the answer.
    pub fn batch(&self, sources: &[ImageSource]) -> Result<Prepared, DataError> {
        let (channels, height, width) = self.shape();
        let size = channels * height * width;
        let mut values = vec![0.0; sources.len() * size];
        let prepare = |preparer: &mut Preparer, (out, source): (&mut [f32], &ImageSource)| {
            self.picture(source).and_then(|picture| self.write(picture, preparer, out)).err()
        };
        let problems: Vec<Option<ImageError>> =
            values.par_chunks_mut(size).zip(sources).map_init(Preparer::new, prepare).collect();
        let mut good = 0;
        for (place, problem) in problems.iter().enumerate() {
            if problem.is_none() {
                values.copy_within(place * size..(place + 1) * size, good * size);
                good += 1;
            }
        }
        values.truncate(good * size);
        let images = (good > 0).then(|| Tensor::from_vec(values, (good, channels, height, width), &Device::Cpu));
        Ok(Prepared { inputs: images.transpose()?.map(Inputs::Images), problems })
    }

    fn picture(&self, source: &ImageSource) -> Result<Picture, ImageError> {
        match source {
            ImageSource::File(file) => decode(&read(file)?, self.max_pixels),
            ImageSource::Picture(picture) => picture.checked(self.max_pixels),
        }
    }

    /// Writes an image as the network sees it, `(3, height, width)`.
    fn write(&self, picture: Picture, preparer: &mut Preparer, out: &mut [f32]) -> Result<(), ImageError> {
        let picture = preparer.prepare(&self.transform, picture)?;
        same_size(self.stored, (picture.height as usize, picture.width as usize))?;
        let window = Window::centre(self.stored, self.seen);
        self.normalisation.write(&picture.pixels, self.stored.1, window, false, out);
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ImageError> {
    let file = &in_any_form(file);
    let found = fs::metadata(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "is not there".to_string(),
        _ => format!("cannot be read ({e})"),
    })?;
    if !found.is_file() {
        return Err("is not a file; an image is needed".to_string().into());
    }
    fs::read(file).map_err(|e| format!("cannot be read ({e})").into())
}

/// Makes inputs of texts, as evaluation makes them of a dataset's rows.
pub struct TextInputs {
    pub(crate) tokenizer: TextTokenizer,
    preparation: TextPreparation,
}

/// Texts as a model reads them.
pub struct TextBatches {
    /// The batches, each with the places of its texts.
    pub batches: Vec<(Vec<usize>, Inputs)>,
    /// The places of the texts that were cut, in their order, with the number of tokens that they have in full.
    pub cut: Vec<(usize, usize)>,
}

impl TextInputs {
    /// Texts with the tokens of a model's tokenizer: a folder with `tokenizer.json` or `vocab.txt`, or one of these files.
    ///
    /// # Errors
    /// There is no tokenizer or a damaged one, or its model does not take such texts.
    pub fn open(tokenizer: &Path, preparation: &TextPreparation) -> Result<Self, DataError> {
        let tokenizer = TextTokenizer::open(tokenizer, preparation.max_length)?;
        Ok(Self { tokenizer, preparation: preparation.clone() })
    }

    /// What it was opened with.
    #[must_use]
    pub fn preparation(&self) -> &TextPreparation {
        &self.preparation
    }

    /// Texts in batches of like length with at most `most` in each.
    ///
    /// # Errors
    /// The tokenizer fails, or there is no memory.
    pub fn batches(&self, texts: &[String], most: usize) -> Result<TextBatches, DataError> {
        let tokens = self.tokenizer.tokenise(texts.len(), |place| texts.get(place).map(String::as_str), |_| {})?;
        let batches = bucket::evaluation(texts.len(), most, |place| tokens.length(place).unwrap_or(0));
        let inputs = |places: Vec<usize>| {
            let inputs = Inputs::Tokens(tokens.batch(&places));
            (places, inputs)
        };
        let cut = tokens.cut.iter().map(|(place, in_full)| (*place as usize, *in_full as usize)).collect();
        Ok(TextBatches { batches: batches.into_iter().map(inputs).collect(), cut })
    }
}
