//! From the bytes of an image file to the numbers that a network sees.

pub mod decode;
mod error;
pub(crate) mod file;
pub(crate) mod jpeg;
mod picture;
pub(crate) mod probe;
pub mod transform;

pub use error::ImageError;
pub use picture::Picture;
pub(crate) use picture::same_size;
