//! Whether a file looks like a whole image, by its first and last bytes alone.
//!
//! Decoding a large dataset before every run would take minutes. Its first and last bytes take a second, and show what
//! goes wrong with files in practice: nothing in them, something else in them, or an end that is missing.

use super::jpeg;

/// Bytes needed from the start.
pub(crate) const HEAD: usize = 64;
/// Bytes needed from the end.
pub(crate) const TAIL: usize = 64;

/// The end of a PNG file.
const PNG_END: &[u8] = &[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// What is not plainly a whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It cannot be one.
    Bad,
    /// It must be decoded to know.
    Doubtful,
}

impl Probe {
    /// `None` where the ends are those of a whole image.
    pub(crate) fn new(head: &[u8], tail: &[u8], length: u64, max_pixels: u64) -> Option<(Self, String)> {
        if length == 0 {
            return Some((Self::Bad, "is empty: 0 bytes where an image is needed".to_string()));
        }
        let is_whole = if jpeg::is_jpeg(head) {
            jpeg::has_end(tail)
        } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            let big_endian = |from: usize| head.get(from..from + 4)?.try_into().ok().map(u32::from_be_bytes);
            let pixels = big_endian(16).zip(big_endian(20)).map(|(width, height)| u64::from(width) * u64::from(height));
            pixels.is_some_and(|pixels| pixels <= max_pixels) && tail.ends_with(PNG_END)
        } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            let said = head.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
            said.is_some_and(|said| u64::from(said) + 8 <= length)
        } else {
            false
        };
        (!is_whole).then(|| (Self::Doubtful, "may not be a whole image".to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{GrayImage, ImageFormat, Luma};

    use super::*;

    fn probe(bytes: &[u8]) -> Option<Probe> {
        let head = &bytes[..HEAD.min(bytes.len())];
        let tail = &bytes[bytes.len() - TAIL.min(bytes.len())..];
        Probe::new(head, tail, bytes.len() as u64, 1 << 20).map(|(probe, _)| probe)
    }

    #[test]
    fn whole_images_pass_and_every_image_that_lost_its_end_is_doubted() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            let image = GrayImage::from_fn(40, 30, |x, y| Luma([(x * 5 + y * y) as u8]));
            image::DynamicImage::from(image).to_rgb8().write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            assert_eq!(probe(&bytes), None, "{format:?}");
            for length in 1..bytes.len() {
                assert_eq!(probe(&bytes[..length]), Some(Probe::Doubtful), "{format:?}: {length} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn nothing_is_bad_and_text_is_doubted() {
        assert_eq!(probe(b""), Some(Probe::Bad));
        assert_eq!(probe(b"<html>"), Some(Probe::Doubtful));
    }
}
