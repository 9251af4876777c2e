//! AVX-512, on processors that have AVX2 and FMA too.

use std::arch::x86_64::{__m256, __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps};

use super::avx2::Avx2;
use super::instructions::{Kernel, LANES, Simd};

/// AVX-512 for sixteen lanes, AVX2 for eight.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// The instructions, if the processor has them.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        Avx2::detect().filter(|_| is_x86_feature_detected!("avx512f")).map(Self)
    }

    /// Runs `kernel`, compiled for these instructions.
    pub(crate) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn compiled_for_avx512(kernel: impl Kernel, simd: Avx512) {
            kernel.run(simd);
        }
        // SAFETY: `detect` has found AVX-512, and AVX2 and FMA before.
        unsafe { compiled_for_avx512(kernel, self) }
    }
}

impl Simd for Avx512 {
    type Vector = __m256;

    type Wide = __m512;

    const TALL: bool = true;

    #[inline(always)]
    fn wide_splat(self, value: f32) -> __m512 {
        // SAFETY: `detect` has found AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn wide_multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `detect` has found AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn wide_load(self, from: &[f32], at: usize) -> __m512 {
        debug_assert!(at + 2 * LANES <= from.len());
        // SAFETY: `detect` has found AVX-512; the caller keeps `at + 2 * LANES` within the slice.
        unsafe { _mm512_loadu_ps(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    unsafe fn wide_store(self, value: __m512, to: &mut [f32], at: usize) {
        debug_assert!(at + 2 * LANES <= to.len());
        // SAFETY: `detect` has found AVX-512; the caller keeps `at + 2 * LANES` within the slice.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr().add(at), value) }
    }

    #[inline(always)]
    fn prefetch(self, from: *const f32) {
        self.0.prefetch(from);
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        self.0.splat(value)
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.0.multiply_add(a, b, c)
    }

    #[inline(always)]
    fn keep_larger(self, best: (__m256, __m256), value: __m256, place: __m256) -> (__m256, __m256) {
        self.0.keep_larger(best, value, place)
    }

    #[inline(always)]
    fn rectify(self, best: (__m256, __m256), dead: __m256) -> (__m256, __m256) {
        self.0.rectify(best, dead)
    }

    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        self.0.deinterleave(a, b)
    }

    #[inline(always)]
    fn bytes(self, value: __m256) -> [u8; LANES] {
        self.0.bytes(value)
    }

    #[inline(always)]
    fn array(self, value: __m256) -> [f32; LANES] {
        self.0.array(value)
    }

    #[inline(always)]
    unsafe fn load(self, from: &[f32], at: usize) -> __m256 {
        // SAFETY: as the caller keeps it.
        unsafe { self.0.load(from, at) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m256, to: &mut [f32], at: usize) {
        // SAFETY: as the caller keeps it.
        unsafe { self.0.store(value, to, at) }
    }
}
