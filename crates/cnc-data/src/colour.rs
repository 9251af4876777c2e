//! Colouring of grey images: the spurious attribute of CMNIST*, made instead of read.
//!
//! In training the colour follows the class with high probability, so a classifier can read the colour and ignore the
//! shape; in validation and test it does not follow the class at all. Bright pixels take the colour; darker ones, the
//! soft edges of a stroke, stay grey.

use rand::{Rng, RngCore};

/// The spurious correlation of the training split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Probability that an image has the colour with its class's number; else one of the others, uniformly.
    pub probability: f64,
}

/// How the images of a held-out split are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldOut {
    /// Each image has one colour, drawn uniformly.
    Uniform,
    /// Each image is shown in all colours, one row each and one after the other: its own counterfactuals.
    Every,
    /// As in training, with the same correlation: a split as biased as people have one who label no groups.
    #[serde(rename = "as-training")]
    AsTraining,
}

/// One colour for each label, in the order of the labels.
pub(crate) fn correlated(labels: &[u32], colours: u32, rule: Correlation, rng: &mut impl RngCore) -> Vec<u32> {
    labels
        .iter()
        .map(|label| {
            // Both numbers are drawn for every image, so that one image's colour does not shift the next one's draw.
            let follows = rng.random::<f64>() < rule.probability;
            let other = rng.random_range(1..colours);
            if follows { *label } else { (label + other) % colours }
        })
        .collect()
}

/// `count` colours, each uniform.
pub(crate) fn uniform(count: usize, colours: u32, rng: &mut impl RngCore) -> Vec<u32> {
    (0..count).map(|_| rng.random_range(0..colours)).collect()
}

/// Replaces every pixel of interleaved RGB whose three values are all at least `threshold` by `rgb`.
pub(crate) fn paint(pixels: &mut [u8], threshold: u8, rgb: [u8; 3]) {
    for pixel in pixels.chunks_exact_mut(3) {
        if pixel.iter().all(|value| *value >= threshold) {
            pixel.copy_from_slice(&rgb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnc_base::seeds::of_data;

    #[test]
    fn pixels_of_120_and_brighter_take_the_colour_and_grey_edges_stay() {
        let mut pixels = [0, 0, 0, 119, 119, 119, 120, 120, 120, 255, 255, 255];
        paint(&mut pixels, 120, [0, 116, 255]);
        assert_eq!(pixels, [0, 0, 0, 119, 119, 119, 0, 116, 255, 0, 116, 255]);
    }

    #[test]
    fn probability_one_gives_every_image_the_colour_of_its_class() {
        let labels = [0, 4, 2, 2, 1];
        assert_eq!(correlated(&labels, 5, Correlation { probability: 1.0 }, &mut of_data(0, "colour")), labels);
    }

    #[test]
    fn images_that_do_not_follow_their_class_take_every_other_colour_equally_often() {
        let labels = vec![3; 20_000];
        let colours = correlated(&labels, 5, Correlation { probability: 0.9 }, &mut of_data(0, "colour"));
        let mut counts = [0; 5];
        colours.iter().for_each(|colour| counts[*colour as usize] += 1);
        // Binomial(20,000, 0.9) has a standard deviation of 42, Binomial(20,000, 0.025) one of 22.
        assert!((counts[3] - 18_000_i32).abs() < 200, "{counts:?}");
        for colour in [0, 1, 2, 4] {
            assert!((counts[colour] - 500).abs() < 110, "{counts:?}");
        }
    }

    #[test]
    fn uniform_colours_cover_all_equally() {
        let mut counts = [0_i32; 5];
        uniform(10_000, 5, &mut of_data(0, "colour")).iter().for_each(|colour| counts[*colour as usize] += 1);
        assert!(counts.iter().all(|count| (count - 2_000).abs() < 200), "{counts:?}");
    }

    #[test]
    fn a_prefix_of_the_labels_has_a_prefix_of_the_colours() {
        let rule = Correlation { probability: 0.5 };
        let labels: Vec<u32> = (0..100).map(|i| i % 5).collect();
        let all = correlated(&labels, 5, rule, &mut of_data(1, "colour"));
        assert_eq!(correlated(&labels[..40], 5, rule, &mut of_data(1, "colour")), all[..40]);
    }
}
