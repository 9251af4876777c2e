//! Images as base64 PNG, small enough for a page with many of them.

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png, imageops};

use super::Picture;

/// Longest side in pixels: a picture in a gallery is about an inch wide.
const LONGEST: u32 = 96;

/// The picture of an RGB image, scaled down where it is large; `None` for an image without pixels.
pub(super) fn encode(image: &cnc_data::image::Picture) -> Option<Picture> {
    let mut image = RgbImage::from_raw(image.width, image.height, image.pixels.clone())?;
    let longest = image.width().max(image.height());
    if longest == 0 {
        return None;
    }
    if longest > LONGEST {
        let side = |length: u32| (length * LONGEST / longest).max(1);
        image = imageops::thumbnail(&image, side(image.width()), side(image.height()));
    }
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    png::PngEncoder::new_with_quality(&mut bytes, png::CompressionType::Best, png::FilterType::Adaptive)
        .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(Picture { png: base64(&bytes), width, height })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // The test vectors of RFC 4648, section 10.
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_large_image_is_scaled_down_and_an_empty_one_refused() {
        let image = |width: u32, height: u32| cnc_data::image::Picture {
            width,
            height,
            pixels: vec![7; (3 * width * height) as usize],
        };
        let picture = encode(&image(192, 100)).unwrap();
        assert_eq!((picture.width, picture.height), (96, 50));
        assert!(picture.png.starts_with("iVBORw0KGgo"), "the signature of PNG");
        assert_eq!(encode(&image(32, 32)).unwrap().width, 32);
        assert_eq!(encode(&image(0, 4)), None);
    }
}
