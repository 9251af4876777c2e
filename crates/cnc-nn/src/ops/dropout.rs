//! Dropout: values set to zero at random, the others scaled up (Srivastava et al. 2014, the inverted form).

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::OpError;
use super::autograd::apply1;
use super::blocks::for_each_chunk;
use super::simd::{Kernel, Simd, dispatch};
use super::storage::{on_cpu_f32, slice, with_values};

const OP: &str = "dropout";
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
    /// A mask that drops each value with `probability`; `None` for a probability of 0.
    ///
    /// # Errors
    /// [`OpError::Probability`] unless `0 <= probability < 1`.
    pub fn new(probability: f64, key: u64) -> Result<Option<Self>, OpError> {
        if !(0.0..1.0).contains(&probability) {
            return Err(OpError::Probability { op: OP, probability });
        }
        // P(a u32 is below the threshold) = probability, to 2^-32.
        let threshold = (probability * 2f64.powi(32)) as u32;
        let scale = (1.0 / (1.0 - probability)) as f32;
        Ok((threshold > 0).then_some(Self { key, threshold, scale }))
    }

    /// The mask of a row of values.
    #[inline(always)]
    pub(super) fn row(&self, row: u64) -> RowMask {
        // The finaliser of SplitMix64 (Steele et al. 2014) gives each row a key of its own.
        let mut z = self.key.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        RowMask { low: z as u32, high: (z >> 32) as u32, threshold: self.threshold, scale: self.scale }
    }

    /// What each value of a tensor with rows of `width` is multiplied with.
    fn values(&self, rows: usize, width: usize) -> Vec<f32> {
        let row = |row| {
            let mask = self.row(row);
            (0..width as u32).map(move |column| mask.factor(column))
        };
        (0..rows as u64).flat_map(row).collect()
    }

    /// The mask as a tensor like `x`.
    pub(super) fn tensor(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let width = x.dims().last().copied().unwrap_or(1).max(1);
        let values = self.values(x.elem_count() / width, width);
        Tensor::from_vec(values, x.shape(), x.device())?.to_dtype(x.dtype())
    }
}

/// The mask of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowMask {
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

/// `x` of any shape, its values dropped by `mask`; the last dimension are the rows that a mask has keys for.
///
/// # Errors
/// Only those of Candle.
pub fn dropout(x: &Tensor, mask: Mask) -> Result<Tensor, OpError> {
    if on_cpu_f32(&[x]) { Ok(apply1(&x.contiguous()?, Dropout(mask))?) } else { composed(x, mask) }
}

/// [`dropout`] in plain Candle ops, with the same mask.
///
/// # Errors
/// Only those of Candle.
pub fn composed(x: &Tensor, mask: Mask) -> Result<Tensor, OpError> {
    Ok((x * mask.tensor(x)?)?)
}

struct Dropout(Mask);

impl Dropout {
    fn apply(&self, x: &[f32], dims: &[usize]) -> Vec<f32> {
        let width = dims.last().copied().unwrap_or(1).max(1);
        let mut y = x.to_vec();
        for_each_chunk(&mut y, ROWS * width, x.len(), |i, rows| {
            dispatch(Rows { mask: self.0, first: i * ROWS, rows, width });
        });
        y
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

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.apply(slice(storage, layout)?, layout.dims());
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let dx = with_values([&gradient], |[gradient]| Ok(self.apply(gradient, x.dims())))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_rows_and_keys_are_dropped_independently() {
        const ROWS: usize = 200;
        const WIDTH: usize = 500;
        let values = |key| Mask::new(0.25, key).unwrap().unwrap().values(ROWS, WIDTH);
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
