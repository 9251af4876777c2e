//! Images as the random part of the transform starts from them: decoded, coloured and resized.
//!
//! A dataset that is small once decoded is kept in memory as bytes, decoded once and in parallel. The images of a larger
//! one are decoded whenever a batch needs them.

use std::borrow::Cow;
use std::sync::Arc;

use super::images::Images;
use crate::DataError;
use crate::colour::paint;
use crate::image::decode::decode;
use crate::image::transform::{Preparer, Transform, Window};
use crate::image::{ImageError, Picture, same_size};
use crate::manifest::Colouring;
use crate::rows::{Row, Rows};

/// The images of a split.
pub(crate) enum Pixels {
    /// All of one size once prepared, `(height, width, 3)` bytes each, one after the other.
    Kept {
        height: usize,
        width: usize,
        values: Vec<u8>,
        /// The decoded images, where resized crops are taken of them, else empty.
        originals: Vec<Picture>,
    },
    /// Decoded when they are needed.
    OnDemand(Box<OnDemand>),
}

/// The images of a split, on disk.
pub(crate) struct OnDemand {
    pub(super) images: Arc<Images>,
    pub(super) rows: Rows,
    pub(super) colouring: Option<Colouring>,
    pub(super) transform: Transform,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// What a thread needs again and again.
pub(crate) struct Workspace {
    pub(super) encoded: Vec<u8>,
    pub(super) preparer: Preparer,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self { encoded: Vec::new(), preparer: Preparer::new() }
    }
}

impl Pixels {
    /// Height and width of what the crop is taken of.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Kept { height, width, .. } => (*height, *width),
            Self::OnDemand(images) => (images.height, images.width),
        }
    }

    /// What the images are: see [`Split::tell`](crate::Split::tell).
    pub(crate) fn tell(&self, digest: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Kept { values, .. } => digest(values),
            Self::OnDemand(images) => images.rows.rows.iter().for_each(|row| images.images.tell(*row, digest)),
        }
    }

    /// The pixels of a row that the crop is taken of; nothing where there is no such row.
    pub(crate) fn prepared(&self, row: usize, workspace: &mut Workspace) -> Result<Option<Cow<'_, [u8]>>, DataError> {
        match self {
            Self::Kept { height, width, values, .. } => {
                let size = 3 * height * width;
                let range = row.checked_mul(size).zip((row + 1).checked_mul(size));
                Ok(range.and_then(|(start, end)| values.get(start..end)).map(Cow::Borrowed))
            }
            Self::OnDemand(images) => {
                let Some((row, picture)) = images.decoded(row, workspace)? else { return Ok(None) };
                let prepared = workspace.preparer.prepare(&images.transform, picture);
                let prepared = prepared.and_then(|picture| images.sized(picture));
                prepared.map(|picture| Some(Cow::Owned(picture))).map_err(|problem| images.images.error(row, &problem))
            }
        }
    }

    /// Whether windows of the decoded images can be had.
    pub(crate) fn are_resized(&self) -> bool {
        match self {
            Self::Kept { originals, .. } => !originals.is_empty(),
            Self::OnDemand(_) => true,
        }
    }

    /// A window of a row's decoded image, resized to a square; nothing where there is no such row, or decoded images were not
    /// kept.
    pub(crate) fn resized(
        &self,
        row: usize,
        side: u32,
        workspace: &mut Workspace,
        mut window: impl FnMut((usize, usize)) -> Window,
    ) -> Result<Option<Vec<u8>>, DataError> {
        let mut of_picture = |picture: Picture, workspace: &mut Workspace| {
            let window = window((picture.height as usize, picture.width as usize));
            workspace.preparer.resize(picture, window, side)
        };
        match self {
            Self::Kept { originals, .. } => {
                let Some(picture) = originals.get(row).cloned() else { return Ok(None) };
                let fault = |problem| DataError::Memory { problem: format!("image {row}: {problem}") };
                of_picture(picture, workspace).map(|picture| Some(picture.pixels)).map_err(fault)
            }
            Self::OnDemand(images) => {
                let Some((row, picture)) = images.decoded(row, workspace)? else { return Ok(None) };
                let resized = of_picture(picture, workspace);
                resized.map(|picture| Some(picture.pixels)).map_err(|problem| images.images.error(row, &problem))
            }
        }
    }
}

impl OnDemand {
    /// A shown row's image in its colour, and the row of the file that it is.
    fn decoded(&self, shown: usize, workspace: &mut Workspace) -> Result<Option<(Row, Picture)>, DataError> {
        let copies = self.rows.copies();
        let Some(row) = self.rows.rows.get(shown / copies).copied() else { return Ok(None) };
        let colour = self.rows.attributes_of(&row).nth(shown % copies);
        self.images.read(row, &mut workspace.encoded)?;
        let picture = decode(&workspace.encoded, self.images.max_pixels());
        let picture = picture.map_err(|problem| self.images.error(row, &problem))?;
        Ok(Some((row, coloured(picture, self.colouring.as_ref(), colour))))
    }

    fn sized(&self, picture: Picture) -> Result<Vec<u8>, ImageError> {
        same_size((self.height, self.width), (picture.height as usize, picture.width as usize))?;
        Ok(picture.pixels)
    }
}

/// The picture in a colour, where colours are made.
pub(super) fn coloured(mut picture: Picture, colouring: Option<&Colouring>, colour: Option<u32>) -> Picture {
    if let (Some(colouring), Some(colour)) = (colouring, colour)
        && let Some(rgb) = colouring.rgb.get(colour as usize)
    {
        paint(&mut picture.pixels, colouring.threshold, *rgb);
    }
    picture
}
