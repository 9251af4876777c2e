//! A decoded image.

use super::ImageError;

/// An image as interleaved 8-bit RGB, rows from the top: `pixels[(y * width + x) * 3 + channel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` values.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A copy of a picture from outside, if it is whole and not too large. The error is for the end of a sentence that names it.
    pub(crate) fn checked(&self, max_pixels: u64) -> Result<Self, ImageError> {
        let Self { width, height, pixels } = self;
        let expected = 3 * u64::from(*width) * u64::from(*height);
        if expected == 0 || pixels.len() as u64 != expected {
            let problem = format!("has {} values, and {width} x {height} pixels have {expected}", pixels.len());
            return Err(problem.into());
        }
        ImageError::refuse_too_large(*width, *height, max_pixels)?;
        Ok(self.clone())
    }
}

/// Refuses an image of another height and width than an earlier one.
pub(crate) fn same_size(
    (height, width): (usize, usize),
    (found_height, found_width): (usize, usize),
) -> Result<(), ImageError> {
    if (height, width) != (found_height, found_width) {
        return Err(format!(
            "the image is {found_width} x {found_height}, an earlier one {width} x {height}; all need one size: set \
             `resize` in the manifest's [transform]"
        )
        .into());
    }
    Ok(())
}
