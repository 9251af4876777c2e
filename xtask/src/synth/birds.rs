//! Pictures in the place of Waterbirds': a bird of one of two shapes before land or water.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::draw::{At, Canvas, at, mix, noise, varied};

/// Draws a landbird (class 0) or a waterbird on land (attribute 0) or water.
pub fn draw(canvas: &mut Canvas, class: usize, place: usize, rng: &mut ChaCha8Rng) {
    background(canvas, place, rng);
    bird(canvas, class, rng);
}

/// A wood, or a lake with waves under a sky.
fn background(canvas: &mut Canvas, place: usize, rng: &mut ChaCha8Rng) {
    let seed = rng.random();
    let extent = canvas.extent();
    let horizon = extent.y * rng.random_range(0.15..0.45);
    if place == 0 {
        let (dark, light) = (varied([0.16, 0.25, 0.1], 0.08, rng), varied([0.45, 0.5, 0.25], 0.1, rng));
        let ground = varied([0.4, 0.3, 0.18], 0.08, rng);
        canvas.fill(|p| {
            let leaves = mix(dark, light, noise(at(14.0 * p.x, 14.0 * p.y), seed));
            let litter = mix(ground, dark, 0.6 * noise(at(20.0 * p.x, 9.0 * p.y), seed ^ 1));
            mix(leaves, litter, ((p.y - 2.0 * horizon) * 6.0).clamp(0.0, 1.0))
        });
        for _ in 0..rng.random_range(2..6) {
            let x = rng.random::<f32>() * extent.x;
            let bark = varied([0.28, 0.2, 0.12], 0.07, rng);
            let thick = rng.random_range(0.012..0.04);
            canvas.line(at(x, 0.0), at(x + rng.random_range(-0.08..0.08), extent.y), thick, bark);
        }
    } else {
        let (sky, deep) = (varied([0.65, 0.75, 0.85], 0.1, rng), varied([0.12, 0.3, 0.45], 0.1, rng));
        let foam = varied([0.45, 0.62, 0.72], 0.08, rng);
        let waves = rng.random_range(18.0..40.0);
        canvas.fill(|p| {
            let swell = noise(at(3.0 * p.x, waves * p.y), seed);
            mix(sky, mix(deep, foam, swell * swell), ((p.y - horizon) * 40.0).clamp(0.0, 1.0))
        });
    }
}

/// A landbird is upright with a long tail and a short beak; a waterbird lies flat with a long neck and a flat beak. Both
/// have any colour, size, place and direction.
fn bird(canvas: &mut Canvas, class: usize, rng: &mut ChaCha8Rng) {
    let extent = canvas.extent();
    let size = rng.random_range(0.30..0.46);
    let centre = at(extent.x * rng.random_range(0.38..0.62), extent.y * rng.random_range(0.42..0.66));
    let side = if rng.random() { 1.0 } else { -1.0 };
    let tilt: f32 = rng.random_range(-0.2..0.2);
    let (sin, cos) = tilt.sin_cos();
    let place = |x: f32, y: f32| -> At {
        let (x, y) = (size * x, size * y);
        at(centre.x + side * (x * cos - y * sin), centre.y + x * sin + y * cos)
    };
    let feathers = varied([0.5; 3], 0.4, rng);
    let wing = mix(feathers, varied([0.5; 3], 0.5, rng), 0.6);
    let beak = varied([0.75, 0.55, 0.2], 0.2, rng);
    let eye = [0.05; 3];
    if class == 0 {
        let lean = side * (tilt + 1.05);
        canvas.line(place(-0.1, 0.1), place(-0.62, 0.72), 0.055 * size, wing);
        canvas.line(place(0.02, 0.3), place(0.06, 0.68), 0.022 * size, beak);
        canvas.line(place(0.14, 0.3), place(0.18, 0.68), 0.022 * size, beak);
        canvas.ellipse(place(0.0, 0.0), at(0.42 * size, 0.25 * size), -lean, feathers);
        canvas.ellipse(place(-0.06, 0.05), at(0.28 * size, 0.13 * size), -lean, wing);
        canvas.ellipse(place(0.18, -0.42), at(0.19 * size, 0.18 * size), 0.0, feathers);
        canvas.line(place(0.34, -0.42), place(0.46, -0.38), 0.04 * size, beak);
        canvas.ellipse(place(0.24, -0.46), at(0.035 * size, 0.035 * size), 0.0, eye);
    } else {
        canvas.ellipse(place(-0.08, 0.22), at(0.56 * size, 0.21 * size), side * (tilt - 0.1), feathers);
        canvas.ellipse(place(-0.16, 0.18), at(0.36 * size, 0.12 * size), side * (tilt - 0.15), wing);
        canvas.line(place(0.36, 0.12), place(0.30, -0.22), 0.075 * size, feathers);
        canvas.line(place(0.30, -0.22), place(0.42, -0.48), 0.07 * size, feathers);
        canvas.ellipse(place(0.46, -0.52), at(0.14 * size, 0.12 * size), 0.0, feathers);
        canvas.line(place(0.56, -0.50), place(0.82, -0.44), 0.045 * size, beak);
        canvas.ellipse(place(0.50, -0.55), at(0.03 * size, 0.03 * size), 0.0, eye);
    }
}
