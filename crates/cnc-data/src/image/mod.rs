//! From the bytes of an image file to the numbers that a network sees.

pub mod decode;
pub(crate) mod jpeg;
pub(crate) mod probe;
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

impl Picture {
    /// All of it.
    pub(crate) fn window(&self) -> transform::Window {
        transform::Window { top: 0, left: 0, height: self.height as usize, width: self.width as usize }
    }
}
