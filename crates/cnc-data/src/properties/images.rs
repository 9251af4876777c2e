//! Simple measures of images.

use rayon::prelude::*;

use super::{Origin, Property, Values, numbers};
use crate::image::Picture;
use crate::{DataError, Split};

/// The border is so much of the shorter side, on each of its four sides.
const BORDER: usize = 8;
/// Colours by the sixth of the circle of hues that they are in, and what has no hue.
const COLOURS: [&str; 7] = ["red", "yellow", "green", "cyan", "blue", "magenta", "grey"];
const GREY: u32 = 6;
/// Saturation below which a pixel has no hue.
const PALE: f64 = 0.2;

struct Measures {
    numbers: [f64; 6],
    colour: u32,
    border_colour: u32,
}

pub(super) fn measures(split: &Split) -> Result<Vec<Property>, DataError> {
    let rows: Vec<Result<Measures, DataError>> =
        (0..split.len() as u32).into_par_iter().map(|row| split.picture(row).map(|picture| of(&picture))).collect();
    let rows = rows.into_iter().collect::<Result<Vec<Measures>, _>>()?;
    let names = [
        "brightness",
        "contrast",
        "saturation",
        "sharpness",
        "brightness of the border",
        "border brighter than the middle",
    ];
    let mut properties = numbers(names, &rows.iter().map(|row| row.numbers).collect::<Vec<_>>());
    let colours = |name: &str, value: fn(&Measures) -> u32| Property {
        name: name.to_string(),
        origin: Origin::Input,
        values: Values::Categories {
            names: COLOURS.map(str::to_string).to_vec(),
            values: rows.iter().map(value).collect(),
        },
    };
    properties.push(colours("colour", |row| row.colour));
    properties.push(colours("colour of the border", |row| row.border_colour));
    Ok(properties)
}

fn of(picture: &Picture) -> Measures {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let border = (width.min(height) / BORDER).max(1);
    let (mut all, mut frame, mut middle) = (Sums::default(), Sums::default(), Sums::default());
    let greys: Vec<f64> = picture.pixels.chunks_exact(3).map(grey).collect();
    for (place, pixel) in picture.pixels.chunks_exact(3).enumerate() {
        let (x, y) = (place % width.max(1), place / width.max(1));
        let is_border = x < border || y < border || x + border >= width || y + border >= height;
        all.add(pixel);
        if is_border { frame.add(pixel) } else { middle.add(pixel) }
    }
    let sharpness = (1.0 + laplacian_variance(&greys, width, height)).ln();
    let brighter = if middle.count > 0.0 { frame.mean() - middle.mean() } else { 0.0 };
    Measures {
        numbers: [all.mean(), all.deviation(), all.saturation / all.count.max(1.0), sharpness, frame.mean(), brighter],
        colour: all.colour(),
        border_colour: frame.colour(),
    }
}

/// Rec. 601 luma in `[0, 255]`.
fn grey(pixel: &[u8]) -> f64 {
    pixel.iter().zip([0.299, 0.587, 0.114]).map(|(value, weight)| f64::from(*value) * weight).sum()
}

/// The variance of the Laplacian: small where a picture is blurred (Pech-Pacheco et al. 2000).
fn laplacian_variance(greys: &[f64], width: usize, height: usize) -> f64 {
    let at = |x: usize, y: usize| greys.get(y * width + x).copied().unwrap_or_default();
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let value = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
            sum += value;
            squares += value * value;
            count += 1.0;
        }
    }
    if count > 0.0 { (squares / count - (sum / count).powi(2)).max(0.0) } else { 0.0 }
}

/// Sums over pixels.
#[derive(Default)]
struct Sums {
    count: f64,
    grey: f64,
    squares: f64,
    saturation: f64,
    /// How much of each colour there is, by saturation.
    colours: [f64; 7],
}

impl Sums {
    fn add(&mut self, pixel: &[u8]) {
        let grey = grey(pixel);
        self.count += 1.0;
        self.grey += grey;
        self.squares += grey * grey;
        let &[red, green, blue] = pixel else { return };
        let [r, g, b] = [red, green, blue].map(f64::from);
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let saturation = if most > 0.0 { (most - least) / most } else { 0.0 };
        self.saturation += saturation;
        let span = most - least;
        let (place, amount) = if saturation < PALE || span <= 0.0 {
            (GREY as usize, 0.0)
        } else {
            let sixth = if most == r {
                (g - b) / span
            } else if most == g {
                2.0 + (b - r) / span
            } else {
                4.0 + (r - g) / span
            };
            ((sixth.round().rem_euclid(6.0)) as usize, saturation * most / 255.0)
        };
        if let Some(sum) = self.colours.get_mut(place) {
            *sum += amount;
        }
    }

    fn mean(&self) -> f64 {
        self.grey / self.count.max(1.0)
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0) - self.mean().powi(2)).max(0.0).sqrt()
    }

    /// The colour that there is most of; grey where hardly anything is coloured.
    fn colour(&self) -> u32 {
        let most = self.colours.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        match most {
            Some((place, amount)) if *amount > 0.01 * self.count => place as u32,
            _ => GREY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(value: impl Fn(u32, u32) -> [u8; 3]) -> Picture {
        let pixels = (0..32 * 32).flat_map(|i| value(i % 32, i / 32)).collect();
        Picture { width: 32, height: 32, pixels }
    }

    #[test]
    fn a_frame_a_blur_and_a_colour_show_in_their_own_measures() {
        let plain = of(&picture(|_, _| [100; 3]));
        assert!((plain.numbers[0] - 100.0).abs() < 1e-9 && plain.numbers[1] < 1e-4 && plain.numbers[2] == 0.0);
        assert_eq!((plain.colour, plain.border_colour), (GREY, GREY));
        let is_frame = |x: u32, y: u32| x < 4 || y < 4 || x >= 28 || y >= 28;
        let framed = of(&picture(|x, y| if is_frame(x, y) { [200, 30, 20] } else { [20, 30, 200] }));
        assert_eq!((framed.border_colour, framed.numbers[5] > 0.0), (0, true));
        let checked = of(&picture(|x, y| [if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let smooth = of(&picture(|x, _| [(x * 8) as u8; 3]));
        assert!(checked.numbers[3] > 5.0 + smooth.numbers[3]);
        for (colour, rgb) in [
            (0, [255, 0, 0]),
            (1, [255, 255, 0]),
            (2, [0, 255, 0]),
            (3, [0, 255, 255]),
            (4, [0, 0, 255]),
            (5, [255, 0, 255]),
        ] {
            assert_eq!(of(&picture(|_, _| rgb)).colour, colour);
        }
    }

    #[test]
    fn a_picture_of_one_pixel_has_measures() {
        let one = of(&Picture { width: 1, height: 1, pixels: vec![9, 9, 9] });
        assert!(one.numbers.iter().all(|number| number.is_finite()));
    }
}
