//! Resize, crop and scale, split where chance begins.
//!
//! Everything before the crop is the same every time an image is seen, so it is done once and kept as bytes, channel by
//! channel. The crop and the scaling to floats are done for every draw.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Picture;

/// What happens to an image between its file and the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// Bilinear resize to a square of this side, with Pillow's filter (antialiased when shrinking).
    pub resize: Option<u32>,
    /// Square crop of this side: at a random place in training, in the centre in evaluation.
    pub crop: Option<u32>,
    /// Subtracted from each channel of values in `[0, 1]`.
    pub mean: [f64; 3],
    /// Divides each channel after that.
    pub std: [f64; 3],
}

/// An image channel by channel: `values[(channel * height + y) * width + x]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planar {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) values: Vec<u8>,
}

/// The deterministic part of a [`Transform`], with the buffers it needs again and again: one a thread.
pub(crate) struct Preparer {
    side: Option<u32>,
    resizer: Resizer,
}

impl Preparer {
    pub(crate) fn new(transform: &Transform) -> Self {
        Self { side: transform.resize, resizer: Resizer::new() }
    }

    /// Resizes, and puts the channels one after the other.
    pub(crate) fn prepare(&mut self, picture: &Picture) -> Result<Planar, String> {
        match self.side {
            Some(side) if (picture.width, picture.height) != (side, side) => {
                let resized = self.resize(picture, side).map_err(|e| format!("the image cannot be resized: {e}"))?;
                Ok(planar(side, side, &resized))
            }
            _ => Ok(planar(picture.width, picture.height, &picture.pixels)),
        }
    }

    fn resize(&mut self, picture: &Picture, side: u32) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        // Typed images: the untyped ones compile the resizer for every pixel type that there is, here.
        let source = TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.pixels)?;
        let mut target = TypedImage::<U8x3>::new(side, side);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize_typed(&source, &mut target, &options)?;
        Ok(target.pixels().iter().flat_map(|pixel| pixel.0).collect())
    }
}

fn planar(width: u32, height: u32, interleaved: &[u8]) -> Planar {
    let mut values = Vec::with_capacity(interleaved.len());
    for channel in 0..3 {
        values.extend(interleaved.iter().skip(channel).step_by(3));
    }
    Planar { width, height, values }
}

/// The part of a stored image that the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Window {
    /// The central window. Where the free lines are odd in number it starts where torchvision's does.
    pub(crate) fn centre(outer: (usize, usize), inner: (usize, usize)) -> Self {
        let start = |outer: usize, inner: usize| {
            let free = outer - inner;
            // Python's round(free / 2): halves go to the even side.
            free / 2 + usize::from(free % 4 == 3)
        };
        Self { top: start(outer.0, inner.0), left: start(outer.1, inner.1), height: inner.0, width: inner.1 }
    }
}

/// `value / 255` normalised is `value * scale + shift`, by channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normalisation {
    scale: [f32; 3],
    shift: [f32; 3],
}

impl Normalisation {
    pub(crate) fn new(transform: &Transform) -> Self {
        let Transform { mean, std, .. } = transform;
        Self {
            scale: std.map(|std| (1.0 / (255.0 * std)) as f32),
            shift: [0, 1, 2].map(|channel| (-mean[channel] / std[channel]) as f32),
        }
    }

    /// Appends the window of one stored image of `(3, height, width)` as `(3, window.height, window.width)` floats.
    pub(crate) fn append(&self, stored: &[u8], (height, width): (usize, usize), window: Window, out: &mut Vec<f32>) {
        for ((plane, scale), shift) in stored.chunks_exact(height * width).zip(self.scale).zip(self.shift) {
            for line in plane.chunks_exact(width).skip(window.top).take(window.height) {
                let seen = &line[window.left..window.left + window.width];
                out.extend(seen.iter().map(|value| f32::from(*value) * scale + shift));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::decode::decode;

    fn symmetric(resize: Option<u32>, crop: Option<u32>) -> Transform {
        Transform { resize, crop, mean: [0.5; 3], std: [0.5; 3] }
    }

    #[test]
    fn the_resize_is_pillows_to_a_fraction_of_a_grey_level() {
        let fixture = |name: &str| {
            let path = format!("{}/tests/fixtures/{name}.png", env!("CARGO_MANIFEST_DIR"));
            decode(&std::fs::read(path).unwrap()).unwrap()
        };
        for name in ["digit_28x28", "noise_28x28", "noise_53x37", "noise_100x90"] {
            let resized = Preparer::new(&symmetric(Some(40), None)).prepare(&fixture(name)).unwrap();
            let pillow = fixture(&format!("{name}_to_40"));
            let expected = planar(40, 40, &pillow.pixels);
            let differences: Vec<u8> =
                resized.values.iter().zip(&expected.values).map(|(ours, theirs)| ours.abs_diff(*theirs)).collect();
            let mean = differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64;
            assert!(mean < 0.5, "{name}: mean difference {mean}");
            assert!(differences.iter().all(|d| *d <= 3), "{name}: largest difference {:?}", differences.iter().max());
        }
    }

    #[test]
    fn an_image_of_the_right_size_is_not_touched_but_for_its_layout() {
        let picture = Picture { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
        let prepared = Preparer::new(&symmetric(None, None)).prepare(&picture).unwrap();
        assert_eq!(prepared, Planar { width: 2, height: 1, values: vec![1, 4, 2, 5, 3, 6] });
    }

    #[test]
    fn half_and_half_scale_bytes_to_minus_one_and_one() {
        let mut out = Vec::new();
        let window = Window { top: 0, left: 0, height: 1, width: 2 };
        Normalisation::new(&symmetric(None, None)).append(&[0, 255, 51, 204, 0, 0], (1, 2), window, &mut out);
        for (value, expected) in out.iter().zip([-1.0, 1.0, -0.6, 0.6, -1.0, -1.0]) {
            assert!((value - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn imagenet_statistics_are_applied_by_channel() {
        let transform = Transform { resize: None, crop: None, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
        let mut out = Vec::new();
        let window = Window { top: 0, left: 0, height: 1, width: 1 };
        Normalisation::new(&transform).append(&[255, 128, 0], (1, 1), window, &mut out);
        // torchvision's ToTensor and Normalize.
        for (value, expected) in out.iter().zip([2.248_908_3, 0.205_182_1, -1.804_444_4]) {
            assert!((value - expected).abs() < 1e-5, "{out:?}");
        }
    }

    #[test]
    fn the_centre_crop_starts_where_torchvisions_does() {
        // int(round((outer - inner) / 2.0)) in Python.
        for (outer, inner, start) in [(40, 32, 4), (5, 4, 0), (7, 4, 2), (9, 4, 2), (11, 4, 4), (6, 6, 0)] {
            assert_eq!(Window::centre((outer, outer), (inner, inner)).top, start, "{outer} to {inner}");
        }
    }

    proptest! {
        #[test]
        fn the_window_holds_the_values_at_its_coordinates(
            (height, width, window, seed) in (1_usize..9, 1_usize..9).prop_flat_map(|(height, width)| {
                (1..=height, 1..=width).prop_flat_map(move |(h, w)| {
                    (0..=height - h, 0..=width - w).prop_flat_map(move |(top, left)| {
                        (Just(height), Just(width), Just(Window { top, left, height: h, width: w }), any::<u8>())
                    })
                })
            })
        ) {
            let stored: Vec<u8> = (0..3 * height * width).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let mut out = Vec::new();
            Normalisation::new(&symmetric(None, None)).append(&stored, (height, width), window, &mut out);
            prop_assert_eq!(out.len(), 3 * window.height * window.width);
            for channel in 0..3 {
                for y in 0..window.height {
                    for x in 0..window.width {
                        let byte = stored[(channel * height + window.top + y) * width + window.left + x];
                        let value = out[(channel * window.height + y) * window.width + x];
                        prop_assert!((value - (f32::from(byte) / 127.5 - 1.0)).abs() < 1e-6);
                    }
                }
            }
        }
    }
}
