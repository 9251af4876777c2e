//! JPEG, baseline and progressive, exactly as libjpeg decodes it (and so Pillow and torchvision): its inverse transform,
//! its smooth upsampling of colour and its fixed-point colours, to the bit. ITU-T T.81.
//!
//! Other decoders round differently, by up to four grey levels: enough for a network trained on the pixels of one to
//! answer differently on those of another.

mod bits;
mod colour;
mod idct;
mod scan;

use bits::Huffman;
use colour::{Plane, Space};

use super::{ImageError, Picture};

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
    let mut decoder = Decoder { data: bytes, max_pixels, ..Decoder::default() };
    match decoder.run() {
        Ok(picture) => Ok(picture),
        Err(Failure::Said(error)) => Err(error),
        Err(Failure::Damaged(problem)) => Err(ImageError::damaged(bytes, &problem)),
    }
}

enum Failure {
    /// A whole message.
    Said(ImageError),
    /// What is wrong with the data.
    Damaged(&'static str),
}

impl From<&'static str> for Failure {
    fn from(problem: &'static str) -> Self {
        Self::Damaged(problem)
    }
}

const CUT_SHORT: &str = "it is cut short";

/// The place of each coefficient in its block, in the order of the file; a run beyond the end stays inside.
const ZIGZAG: [u8; 128] = {
    let mut order = [63; 128];
    let (mut x, mut y, mut k) = (0_u8, 0_u8, 0);
    while k < 64 {
        order[k] = y * 8 + x;
        if (x + y) % 2 == 0 {
            if x == 7 {
                y += 1;
            } else {
                x += 1;
                y = y.saturating_sub(1);
            }
        } else if y == 7 {
            x += 1;
        } else {
            y += 1;
            x = x.saturating_sub(1);
        }
        k += 1;
    }
    order
};

#[derive(Default)]
struct Decoder<'a> {
    data: &'a [u8],
    max_pixels: u64,
    at: usize,
    /// Divisors of the coefficients, in the order of the file.
    quantisation: [Option<[i32; 64]>; 4],
    dc: [Option<Box<Huffman>>; 4],
    ac: [Option<Box<Huffman>>; 4],
    restart_interval: usize,
    scans: usize,
    frame: Option<Frame>,
    has_jfif: bool,
    adobe_transform: Option<u8>,
}

struct Frame {
    is_progressive: bool,
    width: usize,
    height: usize,
    /// Minimum coded units of a row, and rows of them.
    units: (usize, usize),
    components: Vec<Component>,
}

struct Component {
    id: u8,
    /// Sampling factors, horizontal and vertical.
    h: usize,
    v: usize,
    table: usize,
    /// Fixed by the component's first scan.
    divisors: Option<[i32; 64]>,
    /// Samples of the image.
    width: usize,
    height: usize,
    /// Blocks from row to row, and rows of them, up to whole units.
    blocks: (usize, usize),
    samples: Vec<u8>,
    /// Progressive only: 64 to a block, in the order of the file.
    coefficients: Vec<i16>,
    dc_before: i32,
}

impl<'a> Decoder<'a> {
    fn run(&mut self) -> Result<Picture, Failure> {
        self.at = 2;
        loop {
            let marker = self.marker()?;
            match marker {
                0xd9 => break,
                0x01 | 0xd0..=0xd7 => {}
                0xc0..=0xc2 => self.frame(marker == 0xc2)?,
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err("only baseline and progressive JPEG with Huffman codes is read".into());
                }
                0xc4 => self.huffman_tables()?,
                0xda => self.scan()?,
                0xdb => self.quantisation_tables()?,
                0xdd => {
                    let segment = self.segment()?;
                    self.restart_interval =
                        segment.get(..2).map_or(0, |at| usize::from(at[0]) << 8 | usize::from(at[1]));
                }
                0xe0 => self.has_jfif |= self.segment()?.starts_with(b"JFIF\0"),
                0xee => {
                    let segment = self.segment()?;
                    if segment.starts_with(b"Adobe") {
                        self.adobe_transform = segment.get(11).copied();
                    }
                }
                _ => {
                    self.segment()?;
                }
            }
            // All is there once the last of the scans was read; a lost end marker loses nothing.
            if self.at >= self.data.len() && self.frame.as_ref().is_some_and(Frame::is_complete) {
                break;
            }
        }
        self.picture()
    }

    /// The next marker, whatever is in front of it.
    fn marker(&mut self) -> Result<u8, Failure> {
        loop {
            let rest = self.data.get(self.at..).unwrap_or_default();
            match *rest {
                [] | [_] => return Err(CUT_SHORT.into()),
                [0xff, code @ 1..=0xfe, ..] => {
                    self.at += 2;
                    return Ok(code);
                }
                _ => self.at += 1,
            }
        }
    }

    /// The bytes of a marker's segment.
    fn segment(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.data.get(self.at..self.at + 2).map(|at| usize::from(at[0]) << 8 | usize::from(at[1]));
        let length = length.ok_or(CUT_SHORT)?;
        let segment = self.data.get(self.at + 2..self.at + length.max(2)).ok_or(CUT_SHORT)?;
        self.at += length.max(2);
        Ok(segment)
    }

    fn quantisation_tables(&mut self) -> Result<(), Failure> {
        let mut segment = self.segment()?;
        while let Some((first, rest)) = segment.split_first() {
            let wide = usize::from(first >> 4);
            let values = rest.get(..64 << wide.min(1)).ok_or("a quantisation table is incomplete")?;
            let mut table = [0; 64];
            for (value, bytes) in table.iter_mut().zip(values.chunks_exact(1 << wide.min(1))) {
                *value = bytes.iter().fold(0, |value, byte| value << 8 | i32::from(*byte));
            }
            *self.quantisation.get_mut(usize::from(first & 15)).ok_or("a quantisation table has no place")? =
                Some(table);
            segment = rest.get(values.len()..).unwrap_or_default();
        }
        Ok(())
    }

    fn huffman_tables(&mut self) -> Result<(), Failure> {
        const WRONG: &str = "a Huffman table is not one";
        let mut segment = self.segment()?;
        while let Some((first, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(WRONG)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols = rest.get(..total).ok_or(WRONG)?;
            let tables = if first >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table = Huffman::new(counts, symbols).ok_or(WRONG)?;
            *tables.get_mut(usize::from(first & 15)).ok_or(WRONG)? = Some(Box::new(table));
            segment = rest.get(total..).unwrap_or_default();
        }
        Ok(())
    }

    fn frame(&mut self, is_progressive: bool) -> Result<(), Failure> {
        const WRONG: &str = "its frame header is not one";
        if self.frame.is_some() {
            return Err("it has two frames".into());
        }
        let segment = self.segment()?;
        let (&[precision, h1, h2, w1, w2, count], rest) = segment.split_first_chunk::<6>().ok_or(WRONG)?;
        if precision != 8 {
            return Err("only 8 bits a sample are read".into());
        }
        let (width, height) = (usize::from(w1) << 8 | usize::from(w2), usize::from(h1) << 8 | usize::from(h2));
        if width == 0 || height == 0 || !matches!(count, 1 | 3 | 4) || rest.len() < 3 * usize::from(count) {
            return Err(WRONG.into());
        }
        ImageError::refuse_too_large(width as u32, height as u32, self.max_pixels).map_err(Failure::Said)?;
        let factors = |bytes: &[u8]| (usize::from(bytes[1] >> 4), usize::from(bytes[1] & 15));
        let described: Vec<&[u8]> = rest.chunks_exact(3).take(usize::from(count)).collect();
        let widest = described.iter().map(|bytes| factors(bytes).0).max().unwrap_or(0);
        let highest = described.iter().map(|bytes| factors(bytes).1).max().unwrap_or(0);
        let is_one = |factor: usize, largest: usize| (1..=4).contains(&factor) && largest.is_multiple_of(factor);
        if !described.iter().all(|bytes| is_one(factors(bytes).0, widest) && is_one(factors(bytes).1, highest)) {
            return Err("its sampling factors are not read".into());
        }
        let units = (width.div_ceil(8 * widest), height.div_ceil(8 * highest));
        let component = |bytes: &&[u8]| {
            let (h, v) = factors(bytes);
            let blocks = (units.0 * h, units.1 * v);
            Component {
                id: bytes[0],
                h,
                v,
                table: usize::from(bytes[2]),
                divisors: None,
                width: (width * h).div_ceil(widest),
                height: (height * v).div_ceil(highest),
                blocks,
                samples: vec![0; 64 * blocks.0 * blocks.1],
                coefficients: if is_progressive { vec![0; 64 * blocks.0 * blocks.1] } else { Vec::new() },
                dc_before: 0,
            }
        };
        let components = described.iter().map(component).collect();
        self.frame = Some(Frame { is_progressive, width, height, units, components });
        Ok(())
    }

    fn picture(&mut self) -> Result<Picture, Failure> {
        let space = self.space();
        let frame = self.frame.as_mut().ok_or("it has no image")?;
        if !frame.is_complete() {
            return Err("a part of its colours is missing".into());
        }
        if frame.is_progressive {
            frame.components.iter_mut().for_each(Component::transform);
        }
        let widest = frame.components.iter().map(|component| component.h).max().unwrap_or(1);
        let highest = frame.components.iter().map(|component| component.v).max().unwrap_or(1);
        let plane = |component: &'_ Component| (widest / component.h, highest / component.v);
        let planes: Vec<Plane<'_>> = frame
            .components
            .iter()
            .map(|component| Plane {
                samples: &component.samples,
                stride: 8 * component.blocks.0,
                width: component.width,
                height: component.height,
                wide: plane(component).0,
                high: plane(component).1,
            })
            .collect();
        let pixels = to_pixels(&planes, space, frame.width, frame.height).ok_or("it has too few colours")?;
        Ok(Picture { width: frame.width as u32, height: frame.height as u32, pixels })
    }

    /// What libjpeg takes the components for.
    fn space(&self) -> Space {
        let ids: Vec<u8> =
            self.frame.iter().flat_map(|frame| &frame.components).map(|component| component.id).collect();
        match (ids.as_slice(), self.adobe_transform) {
            ([_], _) => Space::Grey,
            ([_, _, _, _], Some(2)) => Space::Ycck,
            ([_, _, _, _], _) => Space::Cmyk,
            _ if self.has_jfif => Space::YCbCr,
            (_, Some(0)) => Space::Rgb,
            ([b'R', b'G', b'B'], None) => Space::Rgb,
            _ => Space::YCbCr,
        }
    }
}

impl Frame {
    /// Whether every component was in a scan.
    fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.divisors.is_some())
    }
}

/// [`colour::pixels`] with the instructions of this machine.
fn to_pixels(planes: &[Plane<'_>], space: Space, width: usize, height: usize) -> Option<Vec<u8>> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(planes: &[Plane<'_>], space: Space, width: usize, height: usize) -> Option<Vec<u8>> {
            colour::pixels(planes, space, width, height)
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { with_avx2(planes, space, width, height) };
        }
    }
    colour::pixels(planes, space, width, height)
}
