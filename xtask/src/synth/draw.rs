//! Drawing by distance: a shape is how far a point is inside of it.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

pub type Colour = [f32; 3];

/// A canvas of `width` x `height` pixels; points go from 0 to 1 along the shorter side.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

/// A point, or a size.
#[derive(Clone, Copy)]
pub struct At {
    pub x: f32,
    pub y: f32,
}

pub fn at(x: f32, y: f32) -> At {
    At { x, y }
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0; 3]; width * height] }
    }

    fn scale(&self) -> f32 {
        self.width.min(self.height) as f32
    }

    /// Width and height in units of the shorter side.
    pub fn extent(&self) -> At {
        at(self.width as f32 / self.scale(), self.height as f32 / self.scale())
    }

    /// Colours every pixel by its point.
    pub fn fill(&mut self, colour: impl Fn(At) -> Colour) {
        let scale = self.scale();
        for (y, line) in self.pixels.chunks_exact_mut(self.width).enumerate() {
            for (x, pixel) in line.iter_mut().enumerate() {
                *pixel = colour(at((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale));
            }
        }
    }

    /// Lays a colour over the pixels inside a shape: `depth` is how far inside a point is, negative outside. `box_` is
    /// a rectangle, by two corners, that the shape is in.
    pub fn shape(&mut self, box_: (At, At), colour: Colour, depth: impl Fn(At) -> f32) {
        let scale = self.scale();
        let pixel = |value: f32, limit: usize| ((value * scale).floor().max(0.0) as usize).min(limit);
        let (left, right) = (pixel(box_.0.x, self.width), pixel(box_.1.x + 2.0 / scale, self.width));
        let (top, bottom) = (pixel(box_.0.y, self.height), pixel(box_.1.y + 2.0 / scale, self.height));
        for y in top..bottom {
            for x in left..right {
                let inside = depth(at((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale));
                // One pixel of soft edge.
                let cover = (inside * scale + 0.5).clamp(0.0, 1.0);
                if let Some(pixel) = self.pixels.get_mut(y * self.width + x) {
                    for (value, new) in pixel.iter_mut().zip(colour) {
                        *value += cover * (new - *value);
                    }
                }
            }
        }
    }

    pub fn ellipse(&mut self, centre: At, radius: At, tilt: f32, colour: Colour) {
        let reach = radius.x.max(radius.y);
        let (sin, cos) = tilt.sin_cos();
        let box_ = (at(centre.x - reach, centre.y - reach), at(centre.x + reach, centre.y + reach));
        self.shape(box_, colour, |p| {
            let (x, y) = (p.x - centre.x, p.y - centre.y);
            let (along, across) = ((x * cos + y * sin) / radius.x, (y * cos - x * sin) / radius.y);
            (1.0 - (along * along + across * across).sqrt()) * radius.x.min(radius.y)
        });
    }

    /// A line with round ends.
    pub fn line(&mut self, from: At, to: At, thick: f32, colour: Colour) {
        let box_ = (
            at(from.x.min(to.x) - thick, from.y.min(to.y) - thick),
            at(from.x.max(to.x) + thick, from.y.max(to.y) + thick),
        );
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let length = (dx * dx + dy * dy).max(1e-9);
        self.shape(box_, colour, |p| {
            let along = (((p.x - from.x) * dx + (p.y - from.y) * dy) / length).clamp(0.0, 1.0);
            let (x, y) = (p.x - from.x - along * dx, p.y - from.y - along * dy);
            thick - (x * x + y * y).sqrt()
        });
    }

    /// Grain, and bytes out of it.
    pub fn bytes(&self, grain: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 * self.pixels.len());
        for pixel in &self.pixels {
            let noise = grain * (rng.random::<f32>() - 0.5);
            bytes.extend(pixel.map(|value| (255.0 * (value + noise)).clamp(0.0, 255.0) as u8));
        }
        bytes
    }
}

/// Smooth noise between 0 and 1 that is another one for another seed.
pub fn noise(p: At, seed: u32) -> f32 {
    // Points are not negative: this rounds down, and faster than `floor` without the instruction for it.
    let (x, y) = (p.x as u32 as f32, p.y as u32 as f32);
    let corner = |dx: f32, dy: f32| {
        let mut hash = ((x + dx) as u32).wrapping_mul(0x9e37_79b9) ^ ((y + dy) as u32).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ seed).wrapping_mul(0xc2b2_ae35);
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x27d4_eb2f);
        (hash >> 8) as f32 / (1 << 24) as f32
    };
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (smooth(p.x - x), smooth(p.y - y));
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    mix(mix(corner(0.0, 0.0), corner(1.0, 0.0), tx), mix(corner(0.0, 1.0), corner(1.0, 1.0), tx), ty)
}

pub fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// A colour whose parts are each moved by at most `by`.
pub fn varied(colour: Colour, by: f32, rng: &mut ChaCha8Rng) -> Colour {
    colour.map(|value| (value + by * (2.0 * rng.random::<f32>() - 1.0)).clamp(0.0, 1.0))
}
