//! Samples that stand twice: those of another split, or nearly, and those with two classes. Nearly the same is a picture scaled, compressed or shifted a little, a text but for a few words.
//!
//! What is measured on such a sample is known from training. Candidates have a part of their hash in common; pictures are then
//! compared as 16 x 16 greys, texts by the share of their shingles that are equal (Broder 1997, min-wise hashing).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use cnc_base::seeds::mix;
use rayon::prelude::*;

use super::{Dataset, Split};
use crate::image::Picture;
use crate::{DataError, SplitName};

/// Greys of a side.
const SIDE: usize = 16;
/// Correlation of the greys from which two pictures are nearly the same.
const ALIKE: f64 = 0.98;
/// Minima of a text, and how many of them make a band.
const MINIMA: usize = 32;
const BAND: usize = 4;
/// Equal minima from which two texts are nearly the same: about 80 % of their shingles.
const EQUAL: usize = 25;
/// Words of a shingle, and words from which a text is long enough to be compared.
const SHINGLE: usize = 3;
const WORDS: usize = 8;
/// Samples of one bucket that are compared: what is in fuller ones is too common to tell anything.
const BUCKET: usize = 64;

/// Two samples that are one, or nearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Split and row of the later one.
    pub sample: (SplitName, u32),
    /// Split and row of the earlier one.
    pub of: (SplitName, u32),
}

/// Samples that stand twice, in the order of the later ones.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Duplicates {
    /// What is equal: its first place, as long as that is in another split.
    pub equal: Vec<Duplicate>,
    /// What is nearly the same as the first such sample of an earlier split, and not equal to it.
    pub near: Vec<Duplicate>,
    /// What is equal to an earlier sample, of whichever split, that has another class.
    pub contradicting: Vec<Duplicate>,
}

impl Dataset {
    /// The samples of validation and test that are those of an earlier split, or nearly, and those whose labels contradict each
    /// other. Every sample is read once.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn duplicates(&self) -> Result<Duplicates, DataError> {
        let mut found = Duplicates::default();
        let mut first_seen: HashMap<u64, ((SplitName, u32), Option<u32>)> = HashMap::new();
        let mut buckets: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
        let mut earlier: Vec<((SplitName, u32), Signature)> = Vec::new();
        for split in [&self.train, &self.validation, &self.test] {
            let signatures: Vec<Result<Signature, DataError>> =
                (0..split.len() as u32).into_par_iter().map(|row| Signature::of(split, row)).collect();
            let known = earlier.len();
            for (row, signature) in (0..).zip(signatures) {
                let (sample, signature) = ((split.name(), row), signature?);
                let label = split.labels().get(row as usize).copied();
                let (of, earlier_label) = *first_seen.entry(signature.whole).or_insert((sample, label));
                if of.0 != sample.0 {
                    found.equal.push(Duplicate { sample, of });
                }
                if label != earlier_label {
                    found.contradicting.push(Duplicate { sample, of });
                }
                let like = |place: &usize| {
                    let (of, other) = earlier.get(*place)?;
                    (*place < known && signature.is_like(other)).then_some(*of)
                };
                let bands = signature.bands();
                let of = bands.iter().find_map(|band| buckets.get(band)?.iter().find_map(like));
                found.near.extend(of.map(|of| Duplicate { sample, of }));
                for band in bands {
                    let bucket = buckets.entry(band).or_default();
                    if bucket.len() < BUCKET {
                        bucket.push(earlier.len());
                    }
                }
                earlier.push((sample, signature));
            }
        }
        Ok(found)
    }
}

struct Signature {
    /// Of all pixels, or of the text.
    whole: u64,
    look: Look,
}

/// What samples that are nearly the same have in common.
enum Look {
    Picture {
        hash: u64,
        greys: Vec<u8>,
    },
    Text {
        minima: Vec<u64>,
    },
    /// Too plain or too short to be told from others.
    Plain,
}

impl Signature {
    fn of(split: &Split, row: u32) -> Result<Self, DataError> {
        match split.text(row) {
            Some(text) => Ok(Self::of_text(text)),
            None => Ok(Self::of_picture(&split.picture(row)?)),
        }
    }

    fn of_picture(picture: &Picture) -> Self {
        Self { whole: hashed(&picture.pixels), look: Look::of_picture(picture).unwrap_or(Look::Plain) }
    }

    fn of_text(text: &str) -> Self {
        Self { whole: hashed(text), look: Look::of_text(text).unwrap_or(Look::Plain) }
    }

    /// Parts of the hash; samples that are alike have one in common, nearly always.
    fn bands(&self) -> Vec<(usize, u64)> {
        match &self.look {
            Look::Picture { hash, .. } => (0..4).map(|band| (band, hash >> (16 * band) & 0xffff)).collect(),
            Look::Text { minima } => minima.chunks(BAND).map(hashed).enumerate().collect(),
            Look::Plain => Vec::new(),
        }
    }

    /// Whether the other is nearly the same, and not equal.
    fn is_like(&self, other: &Self) -> bool {
        let is_like = match (&self.look, &other.look) {
            (Look::Picture { greys, .. }, Look::Picture { greys: of_other, .. }) => {
                correlation(greys, of_other) >= ALIKE
            }
            (Look::Text { minima }, Look::Text { minima: of_other }) => {
                minima.iter().zip(of_other).filter(|(a, b)| a == b).count() >= EQUAL
            }
            _ => false,
        };
        is_like && self.whole != other.whole
    }
}

impl Look {
    fn of_picture(picture: &Picture) -> Option<Self> {
        let greys = reduced(picture, SIDE, SIDE);
        let (least, most) = (greys.iter().min()?, greys.iter().max()?);
        if most - least < 16 {
            return None;
        }
        // A bit for each pair of neighbours in a row: which is the brighter one (Krawetz's difference hash).
        let rows = reduced(picture, 9, 8);
        let bits = rows.chunks(9).flat_map(|row| row.windows(2).map(|pair| u64::from(pair[0] < pair[1])));
        let hash = bits.fold(0, |hash, bit| hash << 1 | bit);
        Some(Self::Picture { hash, greys })
    }

    fn of_text(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        if words.len() < WORDS {
            return None;
        }
        let mut minima = vec![u64::MAX; MINIMA];
        for shingle in words.windows(SHINGLE).map(hashed) {
            for (seed, minimum) in (0u64..).zip(&mut minima) {
                *minimum = (*minimum).min(mix(shingle ^ mix(seed)));
            }
        }
        Some(Self::Text { minima })
    }
}

/// The picture's greys, averaged to so many columns and rows.
fn reduced(picture: &Picture, columns: usize, rows: usize) -> Vec<u8> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let range = |place: usize, parts: usize, of: usize| {
        let from = (place * of / parts).min(of.saturating_sub(1));
        from..((place + 1) * of / parts).max(from + 1)
    };
    let mut greys = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        for column in 0..columns {
            let (mut sum, mut count) = (0usize, 0usize);
            for y in range(row, rows, height) {
                let across = range(column, columns, width);
                let line = picture.pixels.get(3 * (y * width + across.start)..3 * (y * width + across.end));
                sum += line.unwrap_or_default().iter().map(|value| usize::from(*value)).sum::<usize>();
                count += 3 * across.len();
            }
            greys.push((sum / count.max(1)) as u8);
        }
    }
    greys
}

fn correlation(a: &[u8], b: &[u8]) -> f64 {
    let mean = |values: &[u8]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
}

fn hashed(value: impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scene of its own for each seed, moved by so many pixels.
    fn scene(seed: u64, moved: u32) -> Picture {
        let value = |x: u32, y: u32| {
            let wave = |k: u64| {
                let phase = (mix(seed * 8 + k) % 628) as f64 / 100.0;
                let (a, b) = ((mix(seed * 8 + k + 4) % 7) as f64, (mix(seed * 8 + k + 2) % 7) as f64);
                ((a * f64::from(x + moved) + b * f64::from(y)) / 40.0 + phase).sin()
            };
            (127.0 + 40.0 * (wave(0) + wave(1) + wave(3))) as u8
        };
        let pixels = (0..48 * 48).flat_map(|i| [value(i % 48, i / 48); 3]).collect();
        Picture { width: 48, height: 48, pixels }
    }

    fn alike(a: &Picture, b: &Picture) -> bool {
        let (a, b) = (Signature::of_picture(a), Signature::of_picture(b));
        a.is_like(&b) && a.bands().iter().any(|band| b.bands().contains(band))
    }

    #[test]
    fn a_picture_that_is_moved_or_noisy_is_like_itself_and_scenes_are_not_like_each_other() {
        let moved = (0..40).filter(|seed| alike(&scene(*seed, 0), &scene(*seed, 1))).count();
        assert!(moved >= 30, "{moved} of 40");
        for seed in 0..40 {
            let mut noisy = scene(seed, 0);
            for (i, value) in (0..).zip(&mut noisy.pixels) {
                *value = value.saturating_add((mix(i) % 9) as u8);
            }
            assert!(alike(&scene(seed, 0), &noisy), "{seed}");
            assert!(!(seed + 1..40).any(|other| alike(&scene(seed, 0), &scene(other, 0))), "{seed}");
        }
        let flat = Picture { width: 9, height: 9, pixels: vec![7; 243] };
        assert!(Look::of_picture(&flat).is_none());
    }

    #[test]
    fn texts_but_for_a_word_are_alike_and_others_are_not() {
        let text = "the film begins slowly but then it finds its pace and in the last hour nobody in the cinema was looking away \
                    from the screen any more not even the children";
        let like = |a: &str, b: &str| {
            let (a, b) = (Signature::of_text(a), Signature::of_text(b));
            a.is_like(&b) && a.bands().iter().any(|band| b.bands().contains(band))
        };
        assert!(like(text, &text.replace("film", "FILM,")));
        assert!(like(text, &format!("{text} at all")));
        assert!(!like(
            text,
            "this toaster broke after two days of use and the shop did not answer any of my letters about it"
        ));
        assert!(Look::of_text("too short to tell").is_none());
    }
}
