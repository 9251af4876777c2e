//! Decoding by content, with limits: a name's extension is not believed, and a file that claims a huge size is refused
//! before its pixels are allocated.
//!
//! All images become 8-bit RGB as Pillow's `Image.open(file).convert("RGB")` makes them: grey is repeated, a palette is
//! looked up, transparency is dropped, CMYK ink is subtracted, and orientation tags are not applied. One difference: 16
//! bits of grey become 8 by rounding, where Pillow cuts values off at 255.

use std::io::Cursor;
use std::path::Path;

use image::{ColorType, ImageFormat, ImageReader, Limits};

use super::{ImageError, Picture, jpeg};

/// Width times height of the largest image read unless another limit is given: 256 MiB as 8-bit RGBA.
pub const MAX_PIXELS: u64 = 1 << 26;

/// Bytes that every image may take: for its profiles and tables.
const LEAST: u64 = 16 << 20;

/// How images are called whose formats are read: the ends of their names, in small letters.
pub const ENDS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Whether a file of this name is one of those images.
#[must_use]
pub fn has_image_name(name: &Path) -> bool {
    let end = name.extension().map(|end| end.to_string_lossy().to_lowercase());
    end.is_some_and(|end| ENDS.contains(&end.as_str()))
}

/// Formats of photos that are not read, by the brand that their box of type `ftyp` begins with (ISO/IEC 14496-12, 4.3).
const BRANDS: [(&str, &str); 11] = [
    ("heic", "HEIC"),
    ("heix", "HEIC"),
    ("hevc", "HEIC"),
    ("hevx", "HEIC"),
    ("heim", "HEIC"),
    ("heis", "HEIC"),
    ("mif1", "HEIC"),
    ("msf1", "HEIC"),
    ("avif", "AVIF"),
    ("avis", "AVIF"),
    ("jxl ", "JPEG XL"),
];
/// How a JPEG XL begins that is in no box.
const JPEG_XL: &[u8] = b"\xff\x0a";

/// Decodes JPEG, PNG, WebP, GIF (its first picture), BMP or TIFF (its first page) into RGB.
///
/// # Errors
/// Not an image, cut short, damaged, or more than `max_pixels` pixels.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Picture, ImageError> {
    if bytes.is_empty() {
        return Err("is empty: 0 bytes where an image is needed".to_string().into());
    }
    if jpeg::is_jpeg(bytes) {
        return jpeg::decode(bytes, max_pixels);
    }
    let format = match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Gif | ImageFormat::Bmp | ImageFormat::Tiff),
        ) => format,
        _ => return Err(unread(bytes).into()),
    };
    let reader = || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        // Four channels of 16 bits; what a small image needs besides its pixels is no reason to refuse it.
        limits.max_alloc = Some(max_pixels.saturating_mul(8).max(LEAST));
        reader.limits(limits);
        reader
    };
    let (width, height) = reader().into_dimensions().map_err(|e| ImageError::damaged(bytes, &e))?;
    ImageError::refuse_too_large(width, height, max_pixels)?;
    let image = reader().decode().map_err(|e| ImageError::damaged(bytes, &e))?;
    if matches!(image.color(), ColorType::Rgb32F | ColorType::Rgba32F) {
        let problem = "holds floating-point values, whose range nobody knows; save it with 8 or 16 bits a channel";
        return Err(problem.to_string().into());
    }
    Ok(Picture { width, height, pixels: image.into_rgb8().into_raw() })
}

/// What bytes are that are no image of a format that is read.
fn unread(bytes: &[u8]) -> String {
    let brand = |from: usize| bytes.get(from..from + 8)?.strip_prefix(b"ftyp");
    let brand = brand(4).or_else(|| brand(0)).or_else(|| bytes.starts_with(JPEG_XL).then_some(b"jxl "));
    match brand.and_then(|brand| BRANDS.iter().find(|(name, _)| name.as_bytes() == brand)) {
        Some((_, format)) => format!(
            "is a {format} image, a format that is not read; convert it to JPEG or PNG, for example with ImageMagick: magick \
             FILE FILE.png"
        ),
        None => format!(
            "not a JPEG, PNG, WebP, GIF, BMP or TIFF image ({} bytes, starting with {})",
            bytes.len(),
            start(bytes)
        ),
    }
}

/// The first bytes, as text where they are text, so that an HTML page is seen for what it is.
fn start(bytes: &[u8]) -> String {
    let head = bytes.get(..16).unwrap_or(bytes);
    match std::str::from_utf8(head) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("{head:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA};

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn grey_becomes_rgb_by_repetition() {
        let bytes = encoded(GrayImage::from_raw(2, 1, vec![7, 200]).unwrap(), ImageFormat::Png);
        assert_eq!(
            decode(&bytes, MAX_PIXELS).unwrap(),
            Picture { width: 2, height: 1, pixels: vec![7, 7, 7, 200, 200, 200] }
        );
    }

    #[test]
    fn sixteen_bits_become_eight_by_rounding() {
        let values = vec![0_u16, 257, 385, 386, 32_768, 65_535];
        let image: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(6, 1, values.clone()).unwrap();
        let picture = decode(&encoded(image, ImageFormat::Png), MAX_PIXELS).unwrap();
        for (pixel, value) in picture.pixels.chunks(3).zip(values) {
            assert_eq!(pixel, [(f64::from(value) / 257.0).round() as u8; 3]);
        }
    }

    #[test]
    fn transparency_is_dropped() {
        let image: ImageBuffer<LumaA<u8>, _> = ImageBuffer::from_raw(1, 1, vec![90, 0]).unwrap();
        assert_eq!(decode(&encoded(image, ImageFormat::Png), MAX_PIXELS).unwrap().pixels, [90, 90, 90]);
    }

    #[test]
    fn the_content_decides_about_the_format() {
        let image = GrayImage::from_pixel(8, 8, Luma([128]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff] {
            let image = DynamicImage::from(image.clone());
            let picture = decode(&encoded(image.into_rgb8(), format), MAX_PIXELS).unwrap();
            assert_eq!((picture.width, picture.height), (8, 8));
            assert!(picture.pixels.iter().all(|value| value.abs_diff(128) <= 1), "{format:?}");
        }
    }

    #[test]
    fn photos_of_formats_that_are_not_read_are_named_with_what_to_do() {
        for (bytes, format) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "HEIC"),
            (b"ftypheic", "HEIC"),
            (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
            (b"\xff\x0a\x01\x02", "JPEG XL"),
        ] {
            let message = decode(bytes, MAX_PIXELS).unwrap_err().to_string();
            assert!(message.contains(&format!("is a {format} image")) && message.contains("magick"), "{message}");
        }
    }

    #[test]
    fn values_without_a_range_are_refused() {
        let image: ImageBuffer<image::Rgb<f32>, _> = ImageBuffer::from_raw(1, 1, vec![0.5, 7.0, -1.0]).unwrap();
        let message = decode(&encoded(image, ImageFormat::Tiff), MAX_PIXELS).unwrap_err().to_string();
        assert!(message.contains("floating-point"), "{message}");
    }

    #[test]
    fn an_image_cut_short_is_an_error_at_every_length() {
        let bytes = encoded(GrayImage::from_fn(16, 16, |x, y| Luma([(x * 16 + y) as u8])), ImageFormat::Png);
        // The last 12 bytes are the empty end marker.
        for length in 0..bytes.len() - 12 {
            assert!(decode(&bytes[..length], MAX_PIXELS).is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn text_is_named_as_what_it_is() {
        let message = decode(b"<!DOCTYPE html><html>", MAX_PIXELS).unwrap_err().to_string();
        assert!(
            message.contains("not a JPEG, PNG, WebP, GIF, BMP or TIFF") && message.contains("<!DOCTYPE html>"),
            "{message}"
        );
    }

    #[test]
    fn a_header_that_claims_a_huge_image_is_refused_before_anything_is_allocated() {
        let mut bytes = encoded(GrayImage::new(1, 1), ImageFormat::Png);
        // IHDR: width at 16, height at 20, checksum of type and data at 29.
        bytes[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&100_000_u32.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let message = decode(&bytes, MAX_PIXELS).unwrap_err().to_string();
        assert!(message.contains("100000 x 100000"), "{message}");
    }

    #[test]
    fn a_limit_is_told_as_the_number_of_pixels_that_it_is() {
        for format in [
            ImageFormat::Jpeg,
            ImageFormat::Png,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
        ] {
            let bytes = encoded(image::RgbImage::new(9, 7), format);
            let error = decode(&bytes, 62).unwrap_err();
            assert_eq!(error.remedy(), Some(crate::Remedy::RaiseMaxPixels));
            assert!(error.to_string().contains("9 x 7 pixels; at most 62"), "{error}");
            assert!(decode(&bytes, 63).is_ok());
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
