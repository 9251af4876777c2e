//! Entropy-coded data: bits, and Huffman codes of them.

/// Bits of a code that one look at a table decides about.
const LOOK: u32 = 9;

/// A reader of bits, most significant first, that undoes byte stuffing and stops at markers.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// How many of them there are.
    count: u32,
    /// How many of them are zeros made up behind the end of the data.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, made_up: 0 }
    }

    /// Where the reading of bytes stopped: at a marker, or at the end.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Whether bits were used that the file does not have. Behind a marker zeros are read, as libjpeg does.
    pub(super) fn ran_out(&self) -> bool {
        self.count < self.made_up && self.at >= self.data.len()
    }

    /// Throws away what is left before a restart marker, and steps over the marker. `false` where another marker is
    /// next.
    pub(super) fn restart(&mut self) -> bool {
        (self.buffer, self.count, self.made_up) = (0, 0, 0);
        while let Some(rest) = self.data.get(self.at..) {
            match *rest {
                [0xff, 0xd0..=0xd7, ..] => {
                    self.at += 2;
                    return true;
                }
                [0xff, 0x00 | 0xff, ..] | [0..=0xfe, ..] => self.at += 1,
                _ => return false,
            }
        }
        false
    }

    /// At least 32 bits.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(eight) = self.data.get(self.at..self.at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
            let eight = u64::from_be_bytes(eight);
            // A byte of ones is a byte of zeros of the complement.
            let inverse = !eight;
            if inverse.wrapping_sub(0x0101_0101_0101_0101) & eight & 0x8080_8080_8080_8080 == 0 {
                self.buffer |= eight >> self.count;
                let bytes = (64 - self.count) / 8;
                self.at += bytes as usize;
                self.count += 8 * bytes;
                // Bits of a byte that is not counted would be added twice.
                if self.count < 64 {
                    self.buffer &= !(u64::MAX >> self.count);
                }
                return;
            }
        }
        self.fill_slowly();
    }

    #[cold]
    fn fill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([byte @ 0..=0xfe, ..]) => {
                    self.at += 1;
                    *byte
                }
                // The end, or a marker.
                Some([0xff]) => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.made_up = (self.made_up.min(self.count)) + 8;
                    0
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.count -= bits;
    }

    /// The next bits, at most 16.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        self.fill();
        let value = (self.buffer >> (64 - bits)) as i32;
        self.skip(bits);
        value
    }

    /// A value of so many bits, negative where its first bit is 0.
    #[inline(always)]
    pub(super) fn signed(&mut self, bits: u32) -> i32 {
        let value = self.take(bits);
        extend(value, bits)
    }
}

#[inline(always)]
fn extend(value: i32, bits: u32) -> i32 {
    if bits > 0 && value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value }
}

/// A Huffman code.
#[derive(Clone)]
pub(super) struct Huffman {
    /// For the next [`LOOK`] bits: length of the code in them and its symbol; 0 where the code is longer.
    short: [u16; 1 << LOOK],
    /// For the next [`LOOK`] bits: a whole coefficient, as value << 16 | run << 8 | bits; 0 where they hold none.
    coefficient: [i32; 1 << LOOK],
    /// The first code of each length above [`LOOK`], from the top of 16 bits, and what to add for its symbol.
    longer: [(u32, i32); 17],
    symbols: [u8; 256],
}

impl Huffman {
    /// From the number of codes of each length and their symbols. `None` where that is no code.
    pub(super) fn new(counts: &[u8; 16], given: &[u8]) -> Option<Self> {
        let mut symbols = [0; 256];
        symbols.get_mut(..given.len())?.copy_from_slice(given);
        let mut huffman = Self { short: [0; 1 << LOOK], coefficient: [0; 1 << LOOK], longer: [(0, 0); 17], symbols };
        let (mut code, mut next) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            let first = next;
            huffman.longer[length as usize].1 = first as i32 - code as i32;
            for symbol in given.get(first..first + usize::from(*count))? {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let start = (code << (LOOK - length)) as usize;
                    huffman
                        .short
                        .get_mut(start..start + (1 << (LOOK - length)))?
                        .fill((length << 8) as u16 | u16::from(*symbol));
                }
                code += 1;
                next += 1;
            }
            // One above the last code of this length, from the top of 16 bits.
            huffman.longer[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        huffman.coefficients();
        Some(huffman)
    }

    fn coefficients(&mut self) {
        for (look, (short, whole)) in self.short.iter().zip(&mut self.coefficient).enumerate() {
            let (length, run, size) = (u32::from(short >> 8), (short >> 4) & 15, u32::from(short & 15));
            if length > 0 && size > 0 && length + size <= LOOK {
                let bits = (look as i32 >> (LOOK - length - size)) & ((1 << size) - 1);
                *whole = (extend(bits, size) << 16) | i32::from(run) << 8 | (length + size) as i32;
            }
        }
    }

    /// The next symbol.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> u8 {
        bits.fill();
        let short = self.short[(bits.buffer >> (64 - LOOK)) as usize];
        if short > 0 {
            bits.skip(u32::from(short >> 8));
            return short as u8;
        }
        let next = (bits.buffer >> 48) as u32;
        for length in LOOK + 1..=16 {
            let (above, add) = self.longer[length as usize];
            if next < above {
                bits.skip(length);
                return self.symbols[((next >> (16 - length)) as i32 + add) as usize & 255];
            }
        }
        // No code: libjpeg takes it for a 0.
        bits.skip(16);
        0
    }

    /// The run of zeros before the next coefficient, and the coefficient; the symbol where it is another one.
    #[inline(always)]
    pub(super) fn coefficient(&self, bits: &mut Bits<'_>) -> Result<(usize, i32), u8> {
        bits.fill();
        let whole = self.coefficient[(bits.buffer >> (64 - LOOK)) as usize];
        if whole != 0 {
            bits.skip((whole & 255) as u32);
            return Ok(((whole >> 8) as usize & 15, whole >> 16));
        }
        let symbol = self.symbol(bits);
        match symbol & 15 {
            0 => Err(symbol),
            size => Ok((usize::from(symbol >> 4), bits.signed(u32::from(size)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_bytes_count_once_and_nothing_is_read_behind_a_marker() {
        let mut bits = Bits::new(&[0xab, 0xff, 0x00, 0x12, 0xff, 0xd9, 0x77]);
        let bytes: Vec<i32> = (0..5).map(|_| bits.take(8)).collect();
        assert_eq!(bytes, [0xab, 0xff, 0x12, 0, 0]);
        assert!(!bits.ran_out(), "a marker is not the end of the file");
        let mut bits = Bits::new(&[0xab]);
        bits.take(8);
        assert!(!bits.ran_out());
        bits.take(1);
        assert!(bits.ran_out());
    }

    #[test]
    fn long_runs_of_bits_come_out_as_they_went_in() {
        let data: Vec<u8> = (0..200_u32).map(|i| (i * 37 % 255) as u8).collect();
        let mut bits = Bits::new(&data);
        let mut expected = data.iter().flat_map(|byte| (0..8).rev().map(move |bit| i32::from(byte >> bit & 1)));
        for length in (1..=16).cycle().take(150) {
            let value = expected.by_ref().take(length as usize).fold(0, |value, bit| value << 1 | bit);
            assert_eq!(bits.take(length), value, "{length}");
        }
    }

    #[test]
    fn codes_longer_and_shorter_than_the_table_are_found() {
        // One code of each length 1 to 12: 0, 10, 110, ...
        let mut counts = [0; 16];
        counts[..12].fill(1);
        let symbols: Vec<u8> = (20..32).collect();
        let huffman = Huffman::new(&counts, &symbols).unwrap();
        // 110, 1111 1111 110, 0
        let mut bits = Bits::new(&[0b1101_1111, 0b1111_1001, 0, 0]);
        assert_eq!([0; 3].map(|_| huffman.symbol(&mut bits)), [22, 30, 20]);
    }

    #[test]
    fn more_codes_than_a_length_has_are_no_code() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Huffman::new(&counts, &[1, 2, 3]).is_none());
    }
}
