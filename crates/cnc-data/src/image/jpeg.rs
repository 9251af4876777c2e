//! JPEG, as Pillow and torchvision decode it, to the bit: by libjpeg, whose warnings of damage are errors here.
//!
//! Decoders that round differently, by a few grey levels, make a network answer differently on the pixels of one than on
//! those of another.

use std::ffi::c_int;
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{
    JERR_FILE_READ, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC, JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_JPEG_EOF,
    jpeg_common_struct, jpeg_error_mgr, jpeg_std_error,
};

use super::{ImageError, Picture};

const CUT_SHORT: &str = "it is cut short";

/// Warnings of what stands beside the picture: its pixels are whole.
const HARMLESS: [c_int; 4] =
    [JWRN_ADOBE_XFORM as c_int, JWRN_BOGUS_ICC as c_int, JWRN_EXTRANEOUS_DATA as c_int, JWRN_JFIF_MAJOR as c_int];

/// Whether these are the bytes of a JPEG file.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Whether a file that ends in these bytes has its end marker: padding after it is common.
pub(crate) fn has_end(tail: &[u8]) -> bool {
    let padding = tail.iter().rev().take_while(|byte| **byte == 0).count();
    tail.get(..tail.len() - padding).is_some_and(|tail| tail.ends_with(&[0xff, 0xd9]))
}

pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Picture, ImageError> {
    // libjpeg leaves by unwinding, with a message.
    match catch_unwind(AssertUnwindSafe(|| pixels(bytes, max_pixels))) {
        Ok(decoded) => decoded,
        Err(left) => match left.downcast::<String>() {
            Ok(problem) => Err(ImageError::damaged(bytes, &problem)),
            Err(fault) => resume_unwind(fault),
        },
    }
}

fn pixels(bytes: &[u8], max_pixels: u64) -> Result<Picture, ImageError> {
    let damaged = |error| ImageError::damaged(bytes, &error);
    let image = Decompress::with_err(strict_errors()).from_mem(bytes).map_err(damaged)?;
    let (width, height) = (image.width() as u32, image.height() as u32);
    ImageError::refuse_too_large(width, height, max_pixels)?;
    let pixels = if matches!(image.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
        let inks = rows(image, ColorSpace::JCS_CMYK).map_err(damaged)?;
        let (inks, _) = inks.as_chunks::<4>();
        inks.iter().flat_map(|[c, m, y, k]| [c, m, y].map(|ink| without_ink(*ink, *k))).collect()
    } else {
        rows(image, ColorSpace::JCS_RGB).map_err(damaged)?
    };
    Ok(Picture { width, height, pixels })
}

fn rows(image: Decompress<&[u8]>, space: ColorSpace) -> std::io::Result<Vec<u8>> {
    let mut image = image.to_colorspace(space)?;
    let rows = image.read_scanlines()?;
    image.finish()?;
    Ok(rows)
}

/// What is left of white under a colour's and black's ink, both stored inverted, as Adobe does: `ink * black / 255`, rounded.
fn without_ink(ink: u8, black: u8) -> u8 {
    ((u32::from(ink) * u32::from(black) + 127) / 255) as u8
}

/// Errors, and warnings of damage, leave by unwinding.
fn strict_errors() -> jpeg_error_mgr {
    // SAFETY: a struct of C, of numbers and nullable pointers, which the next line fills.
    let mut errors = unsafe { std::mem::zeroed() };
    // SAFETY: it writes the standard handlers into the struct, and keeps no pointer to it.
    unsafe { jpeg_std_error(&mut errors) };
    errors.error_exit = Some(leave);
    errors.emit_message = Some(leave_if_damaged);
    errors
}

extern "C-unwind" fn leave_if_damaged(decoder: &mut jpeg_common_struct, level: c_int) {
    // SAFETY: libjpeg calls its handlers with the error manager that it was given.
    let code = unsafe { (*decoder.err).msg_code };
    if level < 0 && !HARMLESS.contains(&code) {
        leave(decoder);
    }
}

extern "C-unwind" fn leave(decoder: &mut jpeg_common_struct) {
    // SAFETY: as above.
    let errors = unsafe { &*decoder.err };
    let problem = match (errors.msg_code, errors.format_message) {
        (code, _) if code == JWRN_JPEG_EOF as c_int || code == JERR_FILE_READ as c_int => CUT_SHORT.to_string(),
        (_, Some(format)) => {
            let mut message = [0; 80];
            // SAFETY: the binding says `&[u8; 80]` of what the function writes to (`char *buffer` in jpeglib.h).
            let format = unsafe {
                transmute::<
                    unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &[u8; 80]),
                    unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; 80]),
                >(format)
            };
            // SAFETY: 80 bytes are what it needs (JMSG_LENGTH_MAX).
            unsafe { format(decoder, &mut message) };
            String::from_utf8_lossy(message.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
        }
        (code, None) => format!("libjpeg's error {code}"),
    };
    // Nothing is printed: it is not a panic but the way out of C.
    resume_unwind(Box::new(problem));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 48 x 32 pixels with a marker every two blocks, so that damage stays local.
    fn jpeg() -> Vec<u8> {
        let image = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, (x * y) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn problem(bytes: &[u8]) -> String {
        decode(bytes, 1 << 20).unwrap_err().to_string()
    }

    /// Where the picture's data begins: behind the header of its scan.
    fn scan(bytes: &[u8]) -> usize {
        let header = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        header + 2 + usize::from(bytes[header + 3])
    }

    #[test]
    fn a_picture_cut_short_is_an_error_at_every_length() {
        let bytes = jpeg();
        for length in 3..bytes.len() {
            assert!(problem(&bytes[..length]).contains(CUT_SHORT), "{length} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn damage_that_libjpeg_only_warns_of_is_an_error() {
        let mut zeros = jpeg();
        let from = scan(&zeros) + 20;
        let until = (from + 200).min(zeros.len() - 2);
        zeros[from..until].fill(0xff);
        assert!(problem(&zeros).contains("does not decode"));
        // A header and the end marker: a grey picture, to libjpeg.
        let mut headers = jpeg();
        headers.truncate(scan(&headers));
        headers.extend([0xff, 0xd9]);
        assert!(problem(&headers).contains("premature end of data segment"), "{}", problem(&headers));
    }

    #[test]
    fn bytes_behind_the_end_and_before_a_marker_lose_nothing() {
        let bytes = jpeg();
        let whole = decode(&bytes, 1 << 20).unwrap();
        let padded = [&bytes[..], &[0; 40]].concat();
        assert_eq!(decode(&padded, 1 << 20).unwrap(), whole);
        let mut between = bytes;
        between.splice(2..2, [0, 0, 0]);
        assert_eq!(decode(&between, 1 << 20).unwrap(), whole);
    }

    #[test]
    fn inks_are_pillows() {
        for (ink, black) in [(0_u32, 0_u32), (255, 255), (200, 100), (1, 127), (1, 128), (77, 13)] {
            let expected = (f64::from(ink * black) / 255.0).round() as u8;
            assert_eq!(without_ink(ink as u8, black as u8), expected);
        }
    }
}
