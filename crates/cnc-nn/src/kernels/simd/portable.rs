//! Plain arrays, which the compiler turns into the vectors of the target.

use super::instructions::{LANES, Simd, wide_as_two_vectors};

/// Arrays of eight.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Vector = [f32; LANES];

    wide_as_two_vectors!();

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Fused only where that is one instruction: elsewhere `mul_add` is a function call a lane.
        std::array::from_fn(
            |i| {
                if cfg!(target_arch = "aarch64") { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] }
            },
        )
    }

    #[inline(always)]
    fn keep_larger(
        self,
        best: (Self::Vector, Self::Vector),
        value: Self::Vector,
        place: Self::Vector,
    ) -> (Self::Vector, Self::Vector) {
        let wins: [bool; LANES] = std::array::from_fn(|i| (value[i] > best.0[i]) | value[i].is_nan());
        let pick =
            |old: Self::Vector, new: Self::Vector| std::array::from_fn(|i| if wins[i] { new[i] } else { old[i] });
        (pick(best.0, value), pick(best.1, place))
    }

    #[inline(always)]
    fn rectify(self, best: (Self::Vector, Self::Vector), dead: Self::Vector) -> (Self::Vector, Self::Vector) {
        let (value, place) = best;
        (
            std::array::from_fn(|i| if value[i] <= 0.0 { 0.0 } else { value[i] }),
            std::array::from_fn(|i| if value[i] <= 0.0 { dead[i] } else { place[i] }),
        )
    }

    #[inline(always)]
    fn deinterleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector) {
        let at = |i: usize| if i < LANES { a[i] } else { b[i - LANES] };
        (std::array::from_fn(|i| at(2 * i)), std::array::from_fn(|i| at(2 * i + 1)))
    }

    #[inline(always)]
    fn bytes(self, value: Self::Vector) -> [u8; LANES] {
        value.map(|value| value as u8)
    }

    #[inline(always)]
    fn array(self, value: Self::Vector) -> [f32; LANES] {
        value
    }

    #[inline(always)]
    unsafe fn load(self, from: &[f32], at: usize) -> Self::Vector {
        debug_assert!(at + LANES <= from.len());
        // SAFETY: the caller keeps `at + LANES` within the slice; the read asks for no alignment.
        unsafe { from.as_ptr().add(at).cast::<Self::Vector>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, value: Self::Vector, to: &mut [f32], at: usize) {
        debug_assert!(at + LANES <= to.len());
        // SAFETY: the caller keeps `at + LANES` within the slice; the write asks for no alignment.
        unsafe { to.as_mut_ptr().add(at).cast::<Self::Vector>().write_unaligned(value) }
    }
}
