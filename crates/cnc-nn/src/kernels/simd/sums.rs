//! Sums and squares that the compiler makes vector instructions of.

use super::instructions::LANES;

/// Sum of `values` in eight interleaved lanes: as quick as memory, and always in the same order.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let (eights, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for eight in eights {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).sum()
}

/// Sum of `f(a, b)` over pairs of values, in eight interleaved lanes as [`sum`].
#[inline(always)]
pub(crate) fn sum_of_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let ((a_eights, a_rest), (b_eights, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a_eights.iter().zip(b_eights) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    lanes.into_iter().chain(a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b))).sum()
}

/// A square with rows and columns changed over.
#[inline(always)]
pub(crate) fn transpose(square: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE; four values are read and written at a time.
    unsafe {
        use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
        let [mut a, mut b, mut c, mut d] = square.each_ref().map(|row| _mm_loadu_ps(row.as_ptr()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        let mut rows = square;
        for (row, values) in rows.iter_mut().zip([a, b, c, d]) {
            _mm_storeu_ps(row.as_mut_ptr(), values);
        }
        rows
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::array::from_fn(|row| std::array::from_fn(|column| square[column][row]))
}
