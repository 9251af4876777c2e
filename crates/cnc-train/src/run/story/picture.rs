//! Images as base64 PNG, small enough for a page with many of them.

use base64::prelude::{BASE64_STANDARD, Engine};
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png, imageops};

use crate::record::story::Picture;

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
    Some(Picture { png: BASE64_STANDARD.encode(&bytes), width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

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
