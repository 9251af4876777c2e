//! Which values dropout drops, and the dropping.

use super::parallel::for_each_chunk;
use super::simd::{Kernel, Simd, dispatch};

/// Rows that one thread takes at a time.
const ROWS: usize = 16;

/// Which values are dropped: a function of a key and a value's place, so that a mask is never kept, but made again where it
/// is needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mask {
    key: u64,
    /// A place is dropped if its hash is below.
    threshold: u32,
    /// What the other values are multiplied with.
    scale: f32,
}

impl Mask {
    /// A mask that drops each value with `probability`, at least 0 and below 1; `None` for a probability of 0.
    pub(crate) fn drawn(probability: f64, key: u64) -> Option<Self> {
        // P(a u32 is below the threshold) = probability, to 2^-32.
        let threshold = (probability * 2f64.powi(32)) as u32;
        let scale = (1.0 / (1.0 - probability)) as f32;
        (threshold > 0).then_some(Self { key, threshold, scale })
    }

    /// The mask of a row of values.
    #[inline(always)]
    pub(crate) fn row(&self, row: u64) -> RowMask {
        // The finaliser of SplitMix64 (Steele et al. 2014) gives each row a key of its own.
        let mut z = self.key.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        RowMask { low: z as u32, high: (z >> 32) as u32, threshold: self.threshold, scale: self.scale }
    }

    /// What each value of a tensor with rows of `width` is multiplied with.
    pub(crate) fn values(&self, rows: usize, width: usize) -> Vec<f32> {
        let row = |row| {
            let mask = self.row(row);
            (0..width as u32).map(move |column| mask.factor(column))
        };
        (0..rows as u64).flat_map(row).collect()
    }

    /// `x`, whose rows have `width` values, with the values dropped.
    pub(crate) fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        let (mask, width) = (*self, width.max(1));
        let mut y = x.to_vec();
        for_each_chunk(&mut y, ROWS * width, x.len(), |i, rows| dispatch(Rows { mask, first: i * ROWS, rows, width }));
        y
    }
}

/// The mask of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowMask {
    low: u32,
    high: u32,
    threshold: u32,
    scale: f32,
}

impl RowMask {
    /// What the value of a column is multiplied with.
    #[inline(always)]
    pub fn factor(self, column: u32) -> f32 {
        // Wellons' lowbias32, with half of the row's key before and half within.
        let mut h = column ^ self.low;
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h = (h ^ (h >> 15)).wrapping_add(self.high).wrapping_mul(0x846c_a68b);
        h ^= h >> 16;
        if h < self.threshold { 0.0 } else { self.scale }
    }

    /// Multiplies a row with its mask.
    #[inline(always)]
    pub fn apply(self, row: &mut [f32]) {
        for (column, value) in row.iter_mut().enumerate() {
            *value *= self.factor(column as u32);
        }
    }
}

struct Rows<'a> {
    mask: Mask,
    first: usize,
    rows: &'a mut [f32],
    width: usize,
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (i, row) in self.rows.chunks_exact_mut(self.width).enumerate() {
            self.mask.row((self.first + i) as u64).apply(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_rows_and_keys_are_dropped_independently() {
        const ROWS: usize = 200;
        const WIDTH: usize = 500;
        let values = |key| Mask::drawn(0.25, key).unwrap().values(ROWS, WIDTH);
        let (values, others) = (values(1), values(2));
        let dropped = |value: f32| f64::from(u8::from(value == 0.0));
        let share = |pairs: &mut dyn Iterator<Item = (f32, f32)>| {
            let (count, both) = pairs.fold((0.0, 0.0), |(n, both), (a, b)| (n + 1.0, both + dropped(a) * dropped(b)));
            both / count
        };
        // A sixteenth of all pairs, to four deviations of 100,000 draws.
        let near = |found: f64| assert!((found - 0.0625).abs() < 0.0031, "{found}");
        let shifted = |by: usize| values.iter().copied().zip(values[by..].iter().copied());
        near(share(&mut shifted(1)));
        near(share(&mut shifted(WIDTH)));
        near(share(&mut shifted(WIDTH + 1)));
        near(share(&mut values.iter().copied().zip(others.iter().copied())));
    }
}
