//! Pictures in the place of CelebA's: a face with blond hair or other, of a woman or a man.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::draw::{Canvas, at, mix, noise, varied};

/// Draws a face with blond hair (class 1) or other, of a woman (attribute 0) or a man.
pub fn draw(canvas: &mut Canvas, class: usize, sex: usize, rng: &mut ChaCha8Rng) {
    let extent = canvas.extent();
    let seed = rng.random();
    let (wall, other) = (varied([0.5; 3], 0.4, rng), varied([0.5; 3], 0.4, rng));
    canvas.fill(|p| mix(wall, other, noise(at(3.0 * p.x, 3.0 * p.y), seed)));

    let middle = at(extent.x * rng.random_range(0.46..0.54), extent.y * rng.random_range(0.5..0.56));
    let size = rng.random_range(0.9..1.1);
    let place = |x: f32, y: f32| at(middle.x + size * x, middle.y + size * y);
    let skin = mix([0.93, 0.78, 0.66], [0.5, 0.33, 0.24], rng.random::<f32>() * 0.7);
    let hair = if class == 1 {
        varied([0.80, 0.66, 0.38], 0.09, rng)
    } else {
        let kinds = [[0.08, 0.06, 0.05], [0.32, 0.2, 0.11], [0.46, 0.22, 0.1], [0.55, 0.53, 0.52]];
        varied(kinds[rng.random_range(0..kinds.len())], 0.06, rng)
    };
    let cloth = varied([0.5; 3], 0.45, rng);
    canvas.ellipse(place(0.0, 0.82), at(0.55 * size, 0.3 * size), 0.0, cloth);
    if sex == 0 {
        let long = rng.random_range(0.38..0.62);
        canvas.ellipse(place(-0.27, 0.12), at(0.12 * size, long * size), 0.08, hair);
        canvas.ellipse(place(0.27, 0.12), at(0.12 * size, long * size), -0.08, hair);
    }
    canvas.line(place(0.0, 0.3), place(0.0, 0.55), 0.13 * size, mix(skin, [0.0; 3], 0.15));
    let jaw = if sex == 0 { 0.26 } else { 0.30 };
    canvas.ellipse(place(0.0, -0.19), at(0.33 * size, 0.27 * size), 0.0, hair);
    canvas.ellipse(place(0.0, 0.03), at(jaw * size, 0.37 * size), 0.0, skin);
    let fringe = if sex == 0 { 0.16 } else { 0.11 };
    canvas.ellipse(place(0.0, -0.33), at(0.25 * size, fringe * size), 0.0, hair);
    if sex == 1 && rng.random::<f32>() < 0.7 {
        let beard = mix(skin, mix(hair, [0.15; 3], 0.6), rng.random_range(0.3..0.8));
        canvas.ellipse(place(0.0, 0.28), at(0.2 * size, 0.13 * size), 0.0, beard);
    }
    for side in [-1.0, 1.0] {
        canvas.ellipse(place(side * 0.11, -0.04), at(0.045 * size, 0.022 * size), 0.0, [0.95; 3]);
        canvas.ellipse(place(side * 0.11, -0.04), at(0.02 * size, 0.02 * size), 0.0, [0.1; 3]);
        let brow = if sex == 0 { 0.012 } else { 0.022 };
        canvas.line(place(side * 0.06, -0.11), place(side * 0.16, -0.11), brow * size, mix(hair, [0.1; 3], 0.5));
    }
    canvas.line(place(0.0, -0.02), place(0.015, 0.1), 0.012 * size, mix(skin, [0.0; 3], 0.2));
    let lips = if sex == 0 { [0.75, 0.2, 0.25] } else { mix(skin, [0.5, 0.2, 0.2], 0.4) };
    let smile = rng.random_range(0.06..0.11);
    canvas.line(place(-smile, 0.2), place(smile, 0.2), 0.018 * size, lips);
}
