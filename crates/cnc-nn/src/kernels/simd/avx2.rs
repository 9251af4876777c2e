//! AVX2 with FMA.

use std::arch::asm;
use std::arch::x86_64::{
    __m256, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _mm_cvtsi128_si64, _mm_packus_epi16, _mm_packus_epi32,
    _mm_prefetch, _mm256_andnot_ps, _mm256_blendv_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_castsi256_si128,
    _mm256_cmp_ps, _mm256_cvttps_epi32, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_or_ps,
    _mm256_permute4x64_pd, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
};

use super::instructions::{Kernel, LANES, Simd, wide_as_two_vectors};

/// 256-bit vectors with fused multiply-add; made by [`Avx2::detect`] alone.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    pub(crate) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx2,fma")]
        fn compiled_for_avx2(kernel: impl Kernel, simd: Avx2) {
            kernel.run(simd);
        }
        // SAFETY: `detect` has found AVX2 and FMA.
        unsafe { compiled_for_avx2(kernel, self) }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;

    wide_as_two_vectors!();

    #[inline(always)]
    fn wide_in_turn(self, value: Self::Wide) -> Self::Wide {
        #[inline]
        #[target_feature(enable = "avx")]
        fn in_turn([mut low, mut high]: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: there is no instruction. But the compiler must have both values ready, in registers, and cannot know
            // that no memory changes: nothing that reads memory is moved over it. (Its scheduler orders a step of a tile
            // anew whatever the order of the intrinsics is: all loads first, for which 16 registers are too few.)
            unsafe {
                asm!("/* {low} {high} */", low = inout(ymm_reg) low, high = inout(ymm_reg) high, options(nostack, preserves_flags));
            }
            [low, high]
        }
        // SAFETY: `detect` has found AVX2.
        unsafe { in_turn(value) }
    }

    #[inline(always)]
    fn prefetch(self, from: *const f32) {
        // SAFETY: every x86-64 has the instruction, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `detect` has found AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `detect` has found FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn keep_larger(self, best: (__m256, __m256), value: __m256, place: __m256) -> (__m256, __m256) {
        // SAFETY: `detect` has found AVX2.
        unsafe {
            let larger = _mm256_cmp_ps::<_CMP_GT_OQ>(value, best.0);
            let wins = _mm256_or_ps(larger, _mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
            (_mm256_blendv_ps(best.0, value, wins), _mm256_blendv_ps(best.1, place, wins))
        }
    }

    #[inline(always)]
    fn rectify(self, best: (__m256, __m256), dead: __m256) -> (__m256, __m256) {
        // SAFETY: `detect` has found AVX2.
        unsafe {
            let dies = _mm256_cmp_ps::<_CMP_LE_OQ>(best.0, _mm256_setzero_ps());
            (_mm256_andnot_ps(dies, best.0), _mm256_blendv_ps(best.1, dead, dies))
        }
    }

    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: `detect` has found AVX2.
        unsafe {
            // Within each half first, then the middle quarters change places.
            let even = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
            let order = |quarters| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(quarters));
            (order(even), order(odd))
        }
    }

    #[inline(always)]
    fn bytes(self, value: __m256) -> [u8; LANES] {
        // SAFETY: `detect` has found AVX2.
        unsafe {
            let integers = _mm256_cvttps_epi32(value);
            let (low, high) = (_mm256_castsi256_si128(integers), _mm256_extracti128_si256::<1>(integers));
            let words = _mm_packus_epi32(low, high);
            _mm_cvtsi128_si64(_mm_packus_epi16(words, words)).to_le_bytes()
        }
    }

    #[inline(always)]
    fn array(self, value: __m256) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: there are eight lanes.
        unsafe { self.store(value, &mut lanes, 0) };
        lanes
    }

    #[inline(always)]
    unsafe fn load(self, from: &[f32], at: usize) -> __m256 {
        debug_assert!(at + LANES <= from.len());
        // SAFETY: `detect` has found AVX2; the caller keeps `at + LANES` within the slice.
        unsafe { _mm256_loadu_ps(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m256, to: &mut [f32], at: usize) {
        debug_assert!(at + LANES <= to.len());
        // SAFETY: `detect` has found AVX2; the caller keeps `at + LANES` within the slice.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr().add(at), value) }
    }
}
