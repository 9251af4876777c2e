//! From the planes of the components to interleaved pixels: libjpeg's smooth upsampling and fixed-point colours, to the
//! bit.

/// Samples of a component, by rows.
pub(super) struct Plane<'a> {
    pub(super) samples: &'a [u8],
    /// Samples from row to row.
    pub(super) stride: usize,
    /// Samples of a row that are of the image.
    pub(super) width: usize,
    pub(super) height: usize,
    /// How many pixels a sample is wide and high.
    pub(super) wide: usize,
    pub(super) high: usize,
}

/// How the samples of a file stand for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Plane<'_> {
    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height.saturating_sub(1)) * self.stride;
        self.samples.get(start..start + self.width).unwrap_or_default()
    }

    /// Row `y` of the image; `sums` is scratch.
    #[inline(always)]
    fn upsampled<'b>(&'b self, y: usize, sums: &mut Vec<i32>, out: &'b mut Vec<u8>) -> &'b [u8] {
        // libjpeg's conditions for its smooth ways.
        let is_smooth = self.width > 2 || self.wide == 1;
        match (self.wide, self.high) {
            (1, 1) => return self.row(y),
            (2, 1) if is_smooth => {
                let row = self.row(y);
                padded(row.iter().map(|sample| i32::from(*sample)), sums);
                doubled(sums, [1, 2], 2, out);
            }
            (2, 2) if is_smooth => {
                let (near, far) = self.neighbours(y);
                padded(near.iter().zip(far).map(|(near, far)| 3 * i32::from(*near) + i32::from(*far)), sums);
                doubled(sums, [8, 7], 4, out);
            }
            (1, 2) => {
                let (near, far) = self.neighbours(y);
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                out.clear();
                let samples = near.iter().zip(far);
                out.extend(samples.map(|(near, far)| ((3 * i32::from(*near) + i32::from(*far) + bias) >> 2) as u8));
            }
            (wide, high) => {
                out.clear();
                out.extend(self.row(y / high).iter().flat_map(|sample| std::iter::repeat_n(*sample, wide)));
            }
        }
        out
    }

    /// The row of samples that a row of pixels is in, and the other one that it is near.
    fn neighbours(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.row(near), self.row(far))
    }
}

/// The values with the first and last one repeated at their ends.
#[inline(always)]
fn padded(values: impl ExactSizeIterator<Item = i32> + Clone, out: &mut Vec<i32>) {
    out.clear();
    out.extend(values.clone().next());
    out.extend(values);
    out.extend(out.last().copied());
}

/// Two samples from each but the ends: three quarters of it and one of its neighbour.
#[inline(always)]
fn doubled(values: &[i32], bias: [i32; 2], shift: u32, out: &mut Vec<u8>) {
    out.clear();
    out.resize(2 * values.len().saturating_sub(2), 0);
    let neighbours = values.iter().zip(values.iter().skip(1)).zip(values.iter().skip(2));
    for (pair, ((before, value), after)) in out.chunks_exact_mut(2).zip(neighbours) {
        pair[0] = ((3 * value + before + bias[0]) >> shift) as u8;
        pair[1] = ((3 * value + after + bias[1]) >> shift) as u8;
    }
}

/// Scratch of one image.
#[derive(Default)]
struct Rows {
    sums: Vec<i32>,
    upsampled: [Vec<u8>; 4],
}

/// Interleaved RGB of all rows. `None` where there are too few planes.
#[inline(always)]
pub(super) fn pixels(planes: &[Plane<'_>], space: Space, width: usize, height: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; 3 * width * height];
    let mut scratch = Rows::default();
    for (y, line) in out.chunks_exact_mut(3 * width).enumerate() {
        let Rows { sums, upsampled: [first, second, third, fourth] } = &mut scratch;
        let a = planes.first()?.upsampled(y, sums, first);
        if space == Space::Grey {
            line.chunks_exact_mut(3).zip(a).for_each(|(pixel, grey)| pixel.fill(*grey));
            continue;
        }
        let b = planes.get(1)?.upsampled(y, sums, second);
        let c = planes.get(2)?.upsampled(y, sums, third);
        match space {
            Space::Grey => {}
            Space::Rgb => zip3(line, a, b, c, |red, green, blue| [red, green, blue]),
            Space::YCbCr => zip3(line, a, b, c, rgb),
            Space::Cmyk => {
                zip3(line, a, b, c, |cyan, magenta, yellow| [cyan, magenta, yellow]);
                ink(line, planes.get(3)?.upsampled(y, sums, fourth));
            }
            Space::Ycck => {
                zip3(line, a, b, c, |y, cb, cr| rgb(y, cb, cr).map(|bright| 255 - bright));
                ink(line, planes.get(3)?.upsampled(y, sums, fourth));
            }
        }
    }
    Some(out)
}

#[inline(always)]
fn zip3(line: &mut [u8], a: &[u8], b: &[u8], c: &[u8], pixel: impl Fn(u8, u8, u8) -> [u8; 3]) {
    for (((out, a), b), c) in line.chunks_exact_mut(3).zip(a).zip(b).zip(c) {
        out.copy_from_slice(&pixel(*a, *b, *c));
    }
}

/// JFIF's colours, in 16-bit fixed point.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Takes black ink from a line of inverted cyan, magenta and yellow, as Adobe's programs and all others write them: what
/// Pillow's conversion from CMYK does.
fn ink(line: &mut [u8], light: &[u8]) {
    for (pixel, light) in line.chunks_exact_mut(3).zip(light) {
        for bright in pixel {
            // The product of two bytes over 255, rounded.
            let product = u32::from(255 - *bright) * u32::from(*light) + 128;
            *bright = light - (((product >> 8) + product) >> 8) as u8;
        }
    }
}
