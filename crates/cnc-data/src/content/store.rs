//! Decoded images of a split, while they are put together.

use super::pixels::Pixels;
use crate::DataError;
use crate::image::{ImageError, Picture, same_size};

/// An image as it is kept: prepared, and decoded where resized crops are taken of it.
pub(crate) struct Kept {
    pub(crate) prepared: Picture,
    pub(crate) original: Option<Picture>,
}

/// The images of a split being filled. The size is that of the first image.
pub(crate) struct Store {
    /// Rows of files, and how often each is shown.
    rows: usize,
    copies: usize,
    size: Option<(usize, usize)>,
    values: Vec<u8>,
    /// The decoded images that resized crops are taken of; empty where none are.
    originals: Vec<Option<Picture>>,
    bad: Vec<Option<DataError>>,
}

impl Store {
    /// For so many rows, of which each is shown as `copies` images.
    pub(crate) fn new(rows: usize, copies: usize) -> Self {
        Self {
            rows,
            copies,
            size: None,
            values: Vec::new(),
            originals: Vec::new(),
            bad: (0..rows).map(|_| None).collect(),
        }
    }

    /// Puts the images of the row at `place`.
    pub(crate) fn put(&mut self, place: usize, images: Vec<Kept>) -> Result<(), ImageError> {
        for (copy, Kept { prepared: image, original }) in images.into_iter().enumerate() {
            if let Some(original) = original {
                self.originals.resize(self.rows * self.copies, None);
                if let Some(slot) = self.originals.get_mut(place * self.copies + copy) {
                    *slot = Some(original);
                }
            }
            let found = (image.height as usize, image.width as usize);
            let size = match self.size {
                Some(size) => size,
                None => {
                    self.values = zeros(self.rows * self.copies, image.pixels.len())?;
                    *self.size.insert(found)
                }
            };
            same_size(size, found)?;
            let length = image.pixels.len();
            let start = (place * self.copies + copy) * length;
            if let Some(slot) = self.values.get_mut(start..start + length) {
                slot.copy_from_slice(&image.pixels);
            }
        }
        Ok(())
    }

    /// Notes that the row at `place` has no image.
    pub(crate) fn bad(&mut self, place: usize, error: DataError) {
        if let Some(slot) = self.bad.get_mut(place) {
            *slot = Some(error);
        }
    }

    /// Moves the images together where rows have none, and says which these are.
    pub(crate) fn close_gaps(&mut self) -> Vec<Option<DataError>> {
        let bad = std::mem::take(&mut self.bad);
        if let (Some((height, width)), true) = (self.size, bad.iter().any(Option::is_some)) {
            let length = 3 * height * width * self.copies;
            let mut end = 0;
            for (place, _) in bad.iter().enumerate().filter(|(_, bad)| bad.is_none()) {
                self.values.copy_within(place * length..(place + 1) * length, end);
                end += length;
            }
            self.values.truncate(end);
            self.originals.retain(Option::is_some);
        }
        bad
    }

    /// Nothing where no image was put.
    pub(crate) fn finish(self) -> Option<Pixels> {
        let (height, width) = self.size?;
        let originals = self.originals.into_iter().flatten().collect();
        Some(Pixels::Kept { height, width, values: self.values, originals })
    }
}

fn zeros(count: usize, size: usize) -> Result<Vec<u8>, String> {
    let mut values = Vec::new();
    let length = count.saturating_mul(size);
    values.try_reserve_exact(length).map_err(|_| {
        format!("{count} images of {size} bytes do not fit into memory: use `limit` or a smaller `resize`")
    })?;
    values.resize(length, 0);
    Ok(values)
}
