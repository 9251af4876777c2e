//! What is wrong with an image.

use crate::remedy::Remedy;

/// Why an image cannot be used; for the end of a sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// More pixels than are read.
    #[error(
        "the image claims {width} x {height} pixels; at most {max_pixels} in all are read: {}",
        Remedy::RaiseMaxPixels
    )]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },
    /// Anything else.
    #[error("{0}")]
    Unusable(String),
}

impl ImageError {
    /// The bytes of an image that do not decode.
    pub(super) fn damaged(bytes: &[u8], error: &dyn std::fmt::Display) -> Self {
        Self::Unusable(format!("the image does not decode ({} bytes): {error}", bytes.len()))
    }

    /// Refuses too many pixels.
    pub(super) fn refuse_too_large(width: u32, height: u32, max_pixels: u64) -> Result<(), Self> {
        let is_too_large = u64::from(width) * u64::from(height) > max_pixels;
        if is_too_large { Err(Self::TooLarge { width, height, max_pixels }) } else { Ok(()) }
    }

    /// What helps, where it is more than another image.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::TooLarge { .. } => Some(Remedy::RaiseMaxPixels),
            Self::Unusable(_) => None,
        }
    }
}

impl From<String> for ImageError {
    fn from(problem: String) -> Self {
        Self::Unusable(problem)
    }
}
