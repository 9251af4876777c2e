//! Square, resize, crop and scale, split where chance begins.
//!
//! Everything before the random part is the same every time an image is seen: where images stay in memory it is done once
//! and kept as bytes. The crop, the mirror and the scaling to floats are done for every draw.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rand::{Rng, RngCore};

use super::{ImageError, Picture};

/// What happens to an image between its file and the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// First the centre square of the shorter side.
    pub square: bool,
    /// Bilinear resize to a square of this side, with Pillow's filter (antialiased when shrinking).
    pub resize: Option<u32>,
    /// Square crop of this side in the centre.
    pub crop: Option<u32>,
    /// What training shows instead.
    pub random: RandomView,
    /// Whether training mirrors every second image.
    pub flip: bool,
    /// Subtracted from each channel of values in `[0, 1]`.
    pub mean: [f64; 3],
    /// Divides each channel after that.
    pub std: [f64; 3],
}

/// What training shows of every image, anew each time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomViews {
    /// Which part of it.
    pub part: RandomView,
    /// Whether every second image is mirrored.
    pub flip: bool,
}

/// The part of an image that training shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RandomView {
    /// The one of evaluation.
    None,
    /// The crop, at a random place.
    Crop,
    /// A random part of the decoded image, resized: torchvision's `RandomResizedCrop`.
    ResizedCrop {
        /// Smallest and largest share of the area.
        scale: [f64; 2],
        /// Smallest and largest width over height.
        ratio: [f64; 2],
    },
}

impl RandomView {
    /// A key of a resized crop whose value no image has, and what it must be.
    ///
    /// # Errors
    /// The name of the key, and what is expected of it.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let Self::ResizedCrop { scale, ratio } = self else { return Ok(()) };
        let ordered = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high.is_finite();
        if !ordered(*scale) || scale.iter().any(|share| *share > 1.0) {
            return Err(("scale", "two shares of the area, between 0 and 1, the smaller first"));
        }
        if !ordered(*ratio) {
            return Err(("ratio", "two positive numbers, the smaller first"));
        }
        Ok(())
    }
}

/// Larger sides are a typing mistake: 4096 x 4096 x 3 bytes are 48 MiB an image.
const MAX_SIDE: u32 = 4096;

impl Default for Transform {
    /// Images as they are, scaled to [-1, 1]: what a manifest without `[transform]` says.
    fn default() -> Self {
        let random = RandomView::None;
        Self { square: false, resize: None, crop: None, random, flip: false, mean: [0.5; 3], std: [0.5; 3] }
    }
}

impl Transform {
    /// A key whose value cannot be, and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, side) in [("resize", self.resize), ("crop", self.crop)] {
            if side.is_some_and(|side| side == 0 || side > MAX_SIDE) {
                return Err((key, format!("must be between 1 and {MAX_SIDE} pixels")));
            }
        }
        if let (Some(resize), Some(crop)) = (self.resize, self.crop)
            && crop > resize
        {
            return Err(("crop", format!("{crop} is larger than `resize`, {resize}")));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(("mean", "must be three finite numbers".to_string()));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return Err(("std", "must be three numbers greater than 0".to_string()));
        }
        Ok(())
    }
}

/// Resizes, with the buffers that this needs again and again: one a thread.
pub(crate) struct Preparer {
    resizer: Resizer,
    cropped: Vec<u8>,
}

impl Preparer {
    pub(crate) fn new() -> Self {
        Self { resizer: Resizer::new(), cropped: Vec::new() }
    }

    /// The deterministic part of a transform.
    pub(crate) fn prepare(&mut self, transform: &Transform, picture: Picture) -> Result<Picture, ImageError> {
        let whole = Window::whole(&picture);
        let window = if transform.square {
            let side = whole.height.min(whole.width);
            Window::centre((whole.height, whole.width), (side, side))
        } else {
            whole
        };
        match transform.resize {
            None if window == whole => Ok(picture),
            None => {
                copy_window(&picture, window, &mut self.cropped);
                Ok(Picture { width: window.width as u32, height: window.height as u32, pixels: self.cropped.clone() })
            }
            Some(side) => self.resize(picture, window, side),
        }
    }

    /// A window of a picture as a square.
    pub(crate) fn resize(&mut self, picture: Picture, window: Window, side: u32) -> Result<Picture, ImageError> {
        let whole = Window::whole(&picture);
        if window == whole && (picture.width, picture.height) == (side, side) {
            return Ok(picture);
        }
        let source = if window == whole {
            &picture.pixels
        } else {
            copy_window(&picture, window, &mut self.cropped);
            &self.cropped
        };
        let mut pixels = vec![0; 3 * (side as usize).pow(2)];
        resize(&mut self.resizer, source, (window.height, window.width), &mut pixels, side)
            .map_err(|e| format!("the image cannot be resized: {e}"))?;
        Ok(Picture { width: side, height: side, pixels })
    }
}

fn resize(
    resizer: &mut Resizer,
    source: &[u8],
    (height, width): (usize, usize),
    target: &mut [u8],
    side: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    // Typed images: the untyped ones compile the resizer for every pixel type that there is, here.
    let source = TypedImageRef::<U8x3>::from_buffer(u32::try_from(width)?, u32::try_from(height)?, source)?;
    let mut target = TypedImage::<U8x3>::from_buffer(side, side, target)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize_typed(&source, &mut target, &options)?;
    Ok(())
}

fn copy_window(picture: &Picture, window: Window, into: &mut Vec<u8>) {
    into.clear();
    for line in picture.pixels.chunks_exact(3 * picture.width as usize).skip(window.top).take(window.height) {
        into.extend_from_slice(line.get(3 * window.left..3 * (window.left + window.width)).unwrap_or_default());
    }
}

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Window {
    /// All of a picture.
    pub(crate) fn whole(picture: &Picture) -> Self {
        Self { top: 0, left: 0, height: picture.height as usize, width: picture.width as usize }
    }

    /// The central window. Where the free lines are odd in number it starts where torchvision's does.
    pub(crate) fn centre(outer: (usize, usize), inner: (usize, usize)) -> Self {
        let start = |outer: usize, inner: usize| {
            let free = outer - inner;
            // Python's round(free / 2): halves go to the even side.
            free / 2 + usize::from(free % 4 == 3)
        };
        Self { top: start(outer.0, inner.0), left: start(outer.1, inner.1), height: inner.0, width: inner.1 }
    }

    /// A window of the size of `inner` at a random place.
    pub(crate) fn random(outer: (usize, usize), inner: (usize, usize), rng: &mut impl RngCore) -> Self {
        let (height, width) = inner;
        let top = rng.random_range(0..=outer.0 - height);
        let left = rng.random_range(0..=outer.1 - width);
        Self { top, left, height, width }
    }

    /// The window of torchvision's `RandomResizedCrop`: ten attempts at a share of the area in the range of `scale` and a
    /// width over height in that of `ratio`, uniform in its logarithm; then the largest centre window in that range.
    pub(crate) fn random_resized(
        (height, width): (usize, usize),
        scale: [f64; 2],
        ratio: [f64; 2],
        rng: &mut impl RngCore,
    ) -> Self {
        let area = (height * width) as f64;
        for _ in 0..10 {
            let target = area * (scale[0] + (scale[1] - scale[0]) * rng.random::<f64>());
            let logarithms = ratio.map(f64::ln);
            let aspect = (logarithms[0] + (logarithms[1] - logarithms[0]) * rng.random::<f64>()).exp();
            let w = (target * aspect).sqrt().round_ties_even() as usize;
            let h = (target / aspect).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return Self::random((height, width), (h, w), rng);
            }
        }
        let aspect = width as f64 / height as f64;
        let (h, w) = if aspect < ratio[0] {
            ((width as f64 / ratio[0]).round_ties_even() as usize, width)
        } else if aspect > ratio[1] {
            (height, (height as f64 * ratio[1]).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height), w.clamp(1, width));
        // Here torchvision rounds down.
        Self { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
    }
}

/// The floats of every byte, by channel: `(byte / 255 - mean) / std`.
#[derive(Debug, Clone)]
pub(crate) struct Normalisation {
    values: Box<[[f32; 256]; 3]>,
}

impl Normalisation {
    pub(crate) fn new(transform: &Transform) -> Self {
        let Transform { mean, std, .. } = transform;
        let scale = std.map(|std| (1.0 / (255.0 * std)) as f32);
        let shift = [0, 1, 2].map(|channel| (-mean[channel] / std[channel]) as f32);
        let values = [0, 1, 2]
            .map(|channel| std::array::from_fn(|byte| f32::from(byte as u8) * scale[channel] + shift[channel]));
        Self { values: Box::new(values) }
    }

    /// The window of interleaved pixels `(height, width, 3)` as floats `(3, window.height, window.width)`.
    pub(crate) fn write(&self, stored: &[u8], width: usize, window: Window, mirrored: bool, out: &mut [f32]) {
        let [reds, greens, blues] = &*self.values;
        let plane = window.height * window.width;
        let (red, rest) = out.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let lines = stored.chunks_exact(3 * width).skip(window.top).take(window.height);
        let planes = red.chunks_exact_mut(window.width).zip(green.chunks_exact_mut(window.width));
        let planes = planes.zip(blue.chunks_exact_mut(window.width));
        for (line, ((red, green), blue)) in lines.zip(planes) {
            let seen = line.get(3 * window.left..3 * (window.left + window.width)).unwrap_or_default();
            for (((pixel, red), green), blue) in seen.chunks_exact(3).zip(&mut *red).zip(&mut *green).zip(&mut *blue) {
                *red = reds[usize::from(pixel[0])];
                *green = greens[usize::from(pixel[1])];
                *blue = blues[usize::from(pixel[2])];
            }
            if mirrored {
                [red, green, blue].into_iter().for_each(<[f32]>::reverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::image::decode::{MAX_PIXELS, decode};

    fn symmetric(resize: Option<u32>, crop: Option<u32>) -> Transform {
        let random = RandomView::None;
        Transform { square: false, resize, crop, random, flip: false, mean: [0.5; 3], std: [0.5; 3] }
    }

    #[test]
    fn the_resize_is_pillows_to_a_fraction_of_a_grey_level() {
        let fixture = |name: &str| {
            let path = format!("{}/tests/fixtures/{name}.png", env!("CARGO_MANIFEST_DIR"));
            decode(&std::fs::read(path).unwrap(), MAX_PIXELS).unwrap()
        };
        for name in ["digit_28x28", "noise_28x28", "noise_53x37", "noise_100x90"] {
            let resized = Preparer::new().prepare(&symmetric(Some(40), None), fixture(name)).unwrap();
            let expected = fixture(&format!("{name}_to_40"));
            let differences: Vec<u8> =
                resized.pixels.iter().zip(&expected.pixels).map(|(ours, theirs)| ours.abs_diff(*theirs)).collect();
            let mean = differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64;
            assert!(mean < 0.5, "{name}: mean difference {mean}");
            assert!(differences.iter().all(|d| *d <= 3), "{name}: largest difference {:?}", differences.iter().max());
        }
    }

    #[test]
    fn an_image_of_the_right_size_is_not_touched() {
        let picture = Picture { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(Preparer::new().prepare(&symmetric(None, None), picture.clone()).unwrap(), picture);
    }

    #[test]
    fn half_and_half_scale_bytes_to_minus_one_and_one() {
        let mut out = [0.0; 6];
        let window = Window { top: 0, left: 0, height: 1, width: 2 };
        Normalisation::new(&symmetric(None, None)).write(&[0, 51, 0, 255, 204, 0], 2, window, false, &mut out);
        for (value, expected) in out.iter().zip([-1.0, 1.0, -0.6, 0.6, -1.0, -1.0]) {
            assert!((value - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn imagenet_statistics_are_applied_by_channel() {
        let statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let transform = Transform { mean: statistics.0, std: statistics.1, ..symmetric(None, None) };
        let mut out = [0.0; 3];
        let window = Window { top: 0, left: 0, height: 1, width: 1 };
        Normalisation::new(&transform).write(&[255, 128, 0], 1, window, false, &mut out);
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

    #[test]
    fn the_square_is_cut_before_the_resize() {
        let pixels = (0..5 * 2).flat_map(|i| [i as u8; 3]).collect();
        let transform = Transform { square: true, ..symmetric(None, None) };
        let prepared = Preparer::new().prepare(&transform, Picture { width: 5, height: 2, pixels }).unwrap();
        assert_eq!((prepared.width, prepared.height), (2, 2));
        // 3 free columns: round(1.5) is 2.
        assert_eq!(prepared.pixels.iter().step_by(3).copied().collect::<Vec<u8>>(), [2, 3, 7, 8]);
    }

    proptest! {
        #[test]
        fn a_random_resized_window_stays_inside_and_within_its_ranges(
            height in 1_usize..400, width in 1_usize..400, seed in any::<u64>()
        ) {
            let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let window = Window::random_resized((height, width), [0.3, 0.7], [0.75, 4.0 / 3.0], rng);
            prop_assert!(window.height >= 1 && window.top + window.height <= height);
            prop_assert!(window.width >= 1 && window.left + window.width <= width);
            if height.min(width) > 100 && height.max(width) < 2 * height.min(width) {
                let share = (window.height * window.width) as f64 / (height * width) as f64;
                prop_assert!((0.28..0.72).contains(&share), "{}", share);
            }
        }

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
            let size = 3 * window.height * window.width;
            let (mut out, mut mirrored) = (vec![0.0; size], vec![0.0; size]);
            let normalisation = Normalisation::new(&symmetric(None, None));
            normalisation.write(&stored, width, window, false, &mut out);
            normalisation.write(&stored, width, window, true, &mut mirrored);
            for channel in 0..3 {
                for y in 0..window.height {
                    for x in 0..window.width {
                        let byte = stored[((window.top + y) * width + window.left + x) * 3 + channel];
                        let line = (channel * window.height + y) * window.width;
                        let value = out[line + x];
                        prop_assert_eq!(mirrored[line + window.width - 1 - x], value);
                        prop_assert!((value - (f32::from(byte) / 127.5 - 1.0)).abs() < 1e-6);
                    }
                }
            }
        }
    }
}
