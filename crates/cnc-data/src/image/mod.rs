//! From the bytes of an image file to the numbers that a network sees.

pub mod decode;
pub mod transform;

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
