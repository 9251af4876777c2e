//! Scans: the entropy-coded blocks of one or all components.

use super::bits::{Bits, Huffman};
use super::idct::{flat, idct};
use super::{CUT_SHORT, Component, Decoder, Failure, Frame, ZIGZAG};

/// More scans than any encoder makes; each costs a pass over the image.
const MAX_SCANS: usize = 500;

/// What a scan brings.
struct Scan<'a> {
    parts: Vec<Part<'a>>,
    /// First and last coefficient.
    band: (usize, usize),
    /// Whether its bits refine coefficients that are there.
    refines: bool,
    /// Bits of the coefficients that are not brought yet.
    low: u32,
    restart_interval: usize,
}

/// A component of a scan: its place in the frame, and its tables.
struct Part<'a> {
    component: usize,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
}

impl Decoder<'_> {
    pub(super) fn scan(&mut self) -> Result<(), Failure> {
        const WRONG: &str = "a scan header is not one";
        let segment = self.segment()?;
        let frame = self.frame.as_mut().ok_or("it has a scan before its frame")?;
        let (count, rest) = segment.split_first().ok_or(WRONG)?;
        let (chosen, end) = rest.split_at_checked(2 * usize::from(*count)).ok_or(WRONG)?;
        let &[first, last, bits] = end.first_chunk::<3>().ok_or(WRONG)?;
        let (band, high, low) = match frame.is_progressive {
            true => ((usize::from(first), usize::from(last)), bits >> 4, u32::from(bits & 15)),
            false => ((0, 63), 0, 0),
        };
        self.scans += 1;
        if band.0 > band.1 || band.1 > 63 || low > 13 || self.scans > MAX_SCANS || chosen.is_empty() {
            return Err(WRONG.into());
        }
        // A progressive scan brings either the means or other coefficients of one component.
        if frame.is_progressive && (band.0 == 0) != (band.1 == 0) || band.0 > 0 && chosen.len() > 2 {
            return Err(WRONG.into());
        }
        let mut parts = Vec::new();
        for part in chosen.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == part[0]).ok_or(WRONG)?;
            let component = frame.components.get_mut(index).ok_or(WRONG)?;
            if component.divisors.is_none() {
                let divisors = self.quantisation.get(component.table).copied().flatten();
                component.divisors = Some(divisors.ok_or("a quantisation table is missing")?);
            }
            component.dc_before = 0;
            let dc = self.dc.get(usize::from(part[1] >> 4)).and_then(Option::as_deref);
            let ac = self.ac.get(usize::from(part[1] & 15)).and_then(Option::as_deref);
            if band.0 == 0 && high == 0 && dc.is_none() || band.1 > 0 && ac.is_none() {
                return Err("a Huffman table is missing".into());
            }
            parts.push(Part { component: index, dc, ac });
        }
        let scan = Scan { parts, band, refines: high > 0, low, restart_interval: self.restart_interval };
        let mut bits = Bits::new(self.data.get(self.at..).unwrap_or_default());
        read(frame, &scan, &mut bits)?;
        self.at += bits.position();
        Ok(())
    }
}

/// [`read_units`] with the instructions of this machine.
fn read(frame: &mut Frame, scan: &Scan<'_>, bits: &mut Bits<'_>) -> Result<(), Failure> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2")]
        fn with_avx2(frame: &mut Frame, scan: &Scan<'_>, bits: &mut Bits<'_>) -> Result<(), Failure> {
            read_units(frame, scan, bits)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has these instructions.
            return unsafe { with_avx2(frame, scan, bits) };
        }
    }
    read_units(frame, scan, bits)
}

/// All blocks of a scan, unit by unit.
#[inline(always)]
fn read_units(frame: &mut Frame, scan: &Scan<'_>, bits: &mut Bits<'_>) -> Result<(), Failure> {
    let is_progressive = frame.is_progressive;
    let alone = scan.parts.len() == 1;
    let (columns, rows) = match (scan.parts.as_slice(), alone) {
        // A component alone has only the blocks that the image needs.
        ([part], true) => match frame.components.get(part.component) {
            Some(component) => (component.width.div_ceil(8), component.height.div_ceil(8)),
            None => (0, 0),
        },
        _ => frame.units,
    };
    let mut end_of_band_run = 0;
    let mut until_restart = scan.restart_interval;
    for row in 0..rows {
        for column in 0..columns {
            if scan.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart();
                    frame.components.iter_mut().for_each(|component| component.dc_before = 0);
                    end_of_band_run = 0;
                    until_restart = scan.restart_interval;
                }
                until_restart -= 1;
            }
            for part in &scan.parts {
                let Some(component) = frame.components.get_mut(part.component) else { continue };
                let (h, v) = if alone { (1, 1) } else { (component.h, component.v) };
                for y in row * v..(row + 1) * v {
                    for x in column * h..(column + 1) * h {
                        if is_progressive {
                            component.read_part(scan, part, (x, y), bits, &mut end_of_band_run);
                        } else {
                            component.read_block(part, (x, y), bits);
                        }
                    }
                }
            }
        }
        if bits.ran_out() {
            return Err(CUT_SHORT.into());
        }
    }
    Ok(())
}

impl Component {
    /// A whole block, transformed at once.
    #[inline(always)]
    fn read_block(&mut self, part: &Part<'_>, at: (usize, usize), bits: &mut Bits<'_>) {
        let (Some(dc), Some(ac), Some(divisors)) = (part.dc, part.ac, &self.divisors) else { return };
        let mut block = [0_i32; 64];
        let size = dc.symbol(bits).min(16);
        self.dc_before = self.dc_before.wrapping_add(bits.signed(u32::from(size)));
        block[0] = self.dc_before.wrapping_mul(divisors[0]);
        let mut k = 1;
        let mut is_flat = true;
        while k < 64 {
            match ac.coefficient(bits) {
                Ok((run, value)) => {
                    k += run;
                    is_flat = false;
                    block[usize::from(ZIGZAG[k & 127]) & 63] = value * divisors[k.min(63)];
                    k += 1;
                }
                Err(0xf0) => k += 16,
                Err(_) => break,
            }
        }
        if is_flat {
            let value = flat(block[0]);
            self.put(at, &[[value; 8]; 8]);
        } else {
            self.put(at, &idct(&lanes(&block)));
        }
    }

    #[inline(always)]
    fn put(&mut self, (x, y): (usize, usize), samples: &[[u8; 8]; 8]) {
        let stride = 8 * self.blocks.0;
        let start = 8 * (y * stride + x);
        let lines = self.samples.get_mut(start..).unwrap_or_default().chunks_mut(stride);
        for (line, samples) in lines.zip(samples) {
            if let Some(line) = line.first_chunk_mut::<8>() {
                *line = *samples;
            }
        }
    }

    /// What a progressive scan brings of a block.
    fn read_part(
        &mut self,
        scan: &Scan<'_>,
        part: &Part<'_>,
        (x, y): (usize, usize),
        bits: &mut Bits<'_>,
        end_of_band_run: &mut u32,
    ) {
        let start = 64 * (y * self.blocks.0 + x);
        let Some(block) = self.coefficients.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<64>()) else {
            return;
        };
        match (scan.band.0 == 0, scan.refines) {
            (true, true) => block[0] |= (bits.take(1) << scan.low) as i16,
            (true, false) => {
                let Some(dc) = part.dc else { return };
                let size = dc.symbol(bits).min(16);
                self.dc_before = self.dc_before.wrapping_add(bits.signed(u32::from(size)));
                block[0] = (self.dc_before << scan.low) as i16;
            }
            (false, refines) => {
                let Some(ac) = part.ac else { return };
                let band = if refines { further_bits } else { first_bits };
                band(block, scan, ac, bits, end_of_band_run);
            }
        }
    }

    /// The samples of all blocks of a progressive image.
    pub(super) fn transform(&mut self) {
        let Some(divisors) = self.divisors else { return };
        let coefficients = std::mem::take(&mut self.coefficients);
        for (index, coefficients) in coefficients.chunks_exact(64).enumerate() {
            let mut block = [0; 64];
            for ((coefficient, divisor), place) in coefficients.iter().zip(&divisors).zip(ZIGZAG) {
                block[usize::from(place) & 63] = i32::from(*coefficient) * divisor;
            }
            self.put((index % self.blocks.0, index / self.blocks.0), &idct(&lanes(&block)));
        }
    }
}

#[inline(always)]
fn lanes(block: &[i32; 64]) -> [[i32; 8]; 8] {
    std::array::from_fn(|row| std::array::from_fn(|column| block[row * 8 + column]))
}

/// The first bits of a band of coefficients.
fn first_bits(block: &mut [i16; 64], scan: &Scan<'_>, ac: &Huffman, bits: &mut Bits<'_>, end_of_band_run: &mut u32) {
    if *end_of_band_run > 0 {
        *end_of_band_run -= 1;
        return;
    }
    let mut k = scan.band.0;
    while k <= scan.band.1 {
        match ac.coefficient(bits) {
            Ok((run, value)) => {
                k += run;
                block[k.min(63)] = (value << scan.low) as i16;
                k += 1;
            }
            Err(0xf0) => k += 16,
            Err(symbol) => {
                let length = u32::from(symbol >> 4);
                *end_of_band_run = (1 << length) - 1 + bits.take(length).cast_unsigned();
                return;
            }
        }
    }
}

/// One more bit of every coefficient of a band that is not zero, and coefficients that begin with this bit.
fn further_bits(block: &mut [i16; 64], scan: &Scan<'_>, ac: &Huffman, bits: &mut Bits<'_>, end_of_band_run: &mut u32) {
    let one = 1_i16 << scan.low;
    let refine = |coefficient: &mut i16, bits: &mut Bits<'_>| {
        if bits.take(1) == 1 && *coefficient & one == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient > 0 { one } else { -one });
        }
    };
    let (mut k, last) = scan.band;
    while *end_of_band_run == 0 && k <= last {
        let symbol = ac.symbol(bits);
        let mut zeros = symbol >> 4;
        let begins = match (symbol & 15, zeros) {
            (0, 15) => 0,
            (0, length) => {
                *end_of_band_run = (1 << length) + bits.take(u32::from(length)).cast_unsigned();
                break;
            }
            _ if bits.take(1) == 1 => one,
            _ => -one,
        };
        while let Some(coefficient) = block.get_mut(k).filter(|_| k <= last) {
            if *coefficient != 0 {
                refine(coefficient, bits);
            } else if zeros == 0 {
                *coefficient = begins;
                break;
            } else {
                zeros -= 1;
            }
            k += 1;
        }
        k += 1;
    }
    if *end_of_band_run > 0 {
        for coefficient in block.get_mut(k..=last).unwrap_or_default().iter_mut().filter(|value| **value != 0) {
            refine(coefficient, bits);
        }
        *end_of_band_run -= 1;
    }
}
