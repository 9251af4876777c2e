//! Eight `f32` at a time, and sixteen in matrix products: AVX-512, or AVX2 with FMA, where the processor has it (found out
//! at run time), plain arrays elsewhere, which the compiler turns into the target's own vectors (NEON on aarch64, SSE2 on
//! older x86-64). AVX-512 and AVX2 give the same bits.

/// Lanes of a vector.
pub(super) const LANES: usize = 8;
/// Lanes of a wide vector.
pub(super) const WIDE: usize = 2 * LANES;

/// One set of vector instructions. A value of the type proves that the processor has it.
pub(super) trait Simd: Copy {
    /// Eight `f32`.
    type Vector: Copy;

    /// Sixteen `f32`.
    type Wide: Copy;

    /// Whether there are registers for a dozen of [`Wide`](Self::Wide) and what they are made of.
    const TALL: bool;

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::Vector;

    /// `a * b + c`.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Sixteen lanes equal to `value`.
    fn wide_splat(self, value: f32) -> Self::Wide;

    /// `a * b + c`.
    fn wide_multiply_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide;

    /// The sixteen values from `from[at]` on.
    ///
    /// # Safety
    /// `at + 2 * LANES <= from.len()`.
    unsafe fn wide_load(self, from: &[f32], at: usize) -> Self::Wide;

    /// Sixteen lanes equal to `from[at]`.
    ///
    /// # Safety
    /// `at < from.len()`.
    #[inline(always)]
    unsafe fn wide_broadcast(self, from: &[f32], at: usize) -> Self::Wide {
        debug_assert!(at < from.len());
        // SAFETY: the caller keeps `at` within the slice.
        self.wide_splat(unsafe { *from.get_unchecked(at) })
    }

    /// Writes the sixteen values from `to[at]` on.
    ///
    /// # Safety
    /// `at + 2 * LANES <= to.len()`.
    unsafe fn wide_store(self, value: Self::Wide, to: &mut [f32], at: usize);

    /// Asks for the value to be brought near, where the processor can be asked: any address will do.
    #[inline(always)]
    fn prefetch(self, _from: *const f32) {}

    /// Lane by lane: `(value, place)` where `value` is larger than `best.0` or NaN, which is larger than everything, as in
    /// PyTorch's pooling; else `best`.
    fn keep_larger(
        self,
        best: (Self::Vector, Self::Vector),
        value: Self::Vector,
        place: Self::Vector,
    ) -> (Self::Vector, Self::Vector);

    /// Lane by lane: `(0, dead)` where `best.0` is not positive; else `best`.
    fn rectify(self, best: (Self::Vector, Self::Vector), dead: Self::Vector) -> (Self::Vector, Self::Vector);

    /// The lanes at even places of `a` followed by `b`, and those at odd places.
    fn deinterleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector);

    /// The lanes, whole numbers from 0 to 255, as bytes.
    fn bytes(self, value: Self::Vector) -> [u8; LANES];

    /// The lanes.
    fn array(self, value: Self::Vector) -> [f32; LANES];

    /// The eight values from `from[at]` on.
    ///
    /// # Safety
    /// `at + LANES <= from.len()`.
    unsafe fn load(self, from: &[f32], at: usize) -> Self::Vector;

    /// All lanes equal to `from[at]`.
    ///
    /// # Safety
    /// `at < from.len()`.
    #[inline(always)]
    unsafe fn broadcast(self, from: &[f32], at: usize) -> Self::Vector {
        debug_assert!(at < from.len());
        // SAFETY: the caller keeps `at` within the slice.
        self.splat(unsafe { *from.get_unchecked(at) })
    }

    /// Writes the eight values from `to[at]` on.
    ///
    /// # Safety
    /// `at + LANES <= to.len()`.
    unsafe fn store(self, value: Self::Vector, to: &mut [f32], at: usize);
}

/// Work written once for all instruction sets; `run` and all that it calls must be `#[inline(always)]`, so that it is
/// compiled for the instructions in question.
pub(super) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

/// Runs `kernel` with the best instructions of this processor.
pub(super) fn dispatch(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = x86::Avx2::detect() {
        return match x86::Avx512::detect(simd) {
            Some(simd) => simd.run(kernel),
            None => simd.run(kernel),
        };
    }
    kernel.run(Portable);
}

/// Sixteen lanes as two vectors of eight.
macro_rules! wide_as_two_vectors {
    () => {
        type Wide = [Self::Vector; 2];

        const TALL: bool = false;

        #[inline(always)]
        fn wide_splat(self, value: f32) -> Self::Wide {
            [self.splat(value); 2]
        }

        #[inline(always)]
        fn wide_multiply_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
            [self.multiply_add(a[0], b[0], c[0]), self.multiply_add(a[1], b[1], c[1])]
        }

        #[inline(always)]
        unsafe fn wide_load(self, from: &[f32], at: usize) -> Self::Wide {
            // SAFETY: the caller keeps `at + 2 * LANES` within the slice.
            unsafe { [self.load(from, at), self.load(from, at + LANES)] }
        }

        #[inline(always)]
        unsafe fn wide_store(self, value: Self::Wide, to: &mut [f32], at: usize) {
            // SAFETY: the caller keeps `at + 2 * LANES` within the slice.
            unsafe {
                self.store(value[0], to, at);
                self.store(value[1], to, at + LANES);
            }
        }
    };
}

/// Arrays of eight.
#[derive(Clone, Copy)]
pub(super) struct Portable;

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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _mm_cvtsi128_si64, _mm_packus_epi16,
        _mm_packus_epi32, _mm_prefetch, _mm256_andnot_ps, _mm256_blendv_ps, _mm256_castpd_ps, _mm256_castps_pd,
        _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvttps_epi32, _mm256_extracti128_si256, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_or_ps, _mm256_permute4x64_pd, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Kernel, LANES, Simd};

    /// 256-bit vectors with fused multiply-add; made by [`Avx2::detect`] alone.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        pub(in super::super) fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }

        pub(in super::super) fn run(self, kernel: impl Kernel) {
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

    /// AVX-512 for sixteen lanes, AVX2 for eight.
    #[derive(Clone, Copy)]
    pub(in crate::ops) struct Avx512(Avx2);

    impl Avx512 {
        /// The instructions, if the processor has them.
        #[inline]
        pub(in crate::ops) fn detect(avx2: Avx2) -> Option<Self> {
            is_x86_feature_detected!("avx512f").then_some(Self(avx2))
        }

        /// Runs `kernel`, compiled for these instructions.
        pub(in crate::ops) fn run(self, kernel: impl Kernel) {
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
}

/// Sum of `values` in eight interleaved lanes: as quick as memory, and always in the same order.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
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
pub(super) fn sum_of_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
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
pub(super) fn transpose(square: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on nine values, the first of which is left out.
    struct Everything<'a> {
        x: &'a [f32],
        floats: &'a mut Vec<[f32; LANES]>,
        bytes: &'a mut [u8; LANES],
    }

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            // SAFETY: `x` holds nine values.
            let (x, first) = unsafe { (simd.load(self.x, 1), simd.broadcast(self.x, 0)) };
            let doubled = simd.multiply_add(simd.splat(2.0), x, simd.splat(1.0));
            let best = simd.keep_larger((simd.splat(3.0), simd.splat(0.0)), x, simd.splat(1.0));
            let rectified = simd.rectify((x, first), simd.splat(255.0));
            let (even, odd) = simd.deinterleave(x, doubled);
            *self.bytes = simd.bytes(rectified.1);
            let results = [doubled, best.0, best.1, rectified.0, even, odd];
            self.floats.extend(results.map(|result| simd.array(result)));
            let mut wide = [0.0; 2 * LANES];
            let sixteen: [f32; 2 * LANES] = std::array::from_fn(|i| self.x[i % 9]);
            // SAFETY: there are sixteen values, and nine in `x`.
            unsafe {
                let (value, factor) = (simd.wide_load(&sixteen, 0), simd.wide_broadcast(self.x, 3));
                simd.wide_store(simd.wide_multiply_add(value, factor, simd.wide_splat(1.0)), &mut wide, 0);
            }
            self.floats.extend(wide.as_chunks::<LANES>().0);
        }
    }

    #[test]
    fn every_instruction_set_does_the_same() {
        let x = [7.0, 1.0, -2.0, 3.0, 4.0, 0.0, 6.0, 2.5, 8.0];
        let mut both = [Portable::results(&x), (Vec::new(), [0; LANES])];
        let (floats, bytes) = &mut both[1];
        dispatch(Everything { x: &x, floats, bytes });
        assert_eq!(both[0], both[1]);
        let (floats, bytes) = &both[0];
        assert_eq!(floats[0], [3.0, -3.0, 7.0, 9.0, 1.0, 13.0, 6.0, 17.0]);
        assert_eq!(floats[1], [3.0, 3.0, 3.0, 4.0, 3.0, 6.0, 3.0, 8.0]);
        assert_eq!(floats[2], [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(floats[3], [1.0, 0.0, 3.0, 4.0, 0.0, 6.0, 2.5, 8.0]);
        assert_eq!(floats[4], [1.0, 3.0, 0.0, 2.5, 3.0, 7.0, 1.0, 6.0]);
        assert_eq!(floats[5], [-2.0, 4.0, 6.0, 8.0, -3.0, 9.0, 13.0, 17.0]);
        assert_eq!(floats[6], [22.0, 4.0, -5.0, 10.0, 13.0, 1.0, 19.0, 8.5]);
        assert_eq!(floats[7], [25.0, 22.0, 4.0, -5.0, 10.0, 13.0, 1.0, 19.0]);
        assert_eq!(*bytes, [7, 255, 7, 7, 255, 7, 7, 7]);
    }

    impl Portable {
        fn results(x: &[f32]) -> (Vec<[f32; LANES]>, [u8; LANES]) {
            let (mut floats, mut bytes) = (Vec::new(), [0; LANES]);
            Everything { x, floats: &mut floats, bytes: &mut bytes }.run(Portable);
            (floats, bytes)
        }
    }

    #[test]
    fn a_value_that_is_no_number_wins_and_stays() {
        let (nan, one) = ([f32::NAN; LANES], [1.0; LANES]);
        let best = Portable.keep_larger((one, one), nan, [2.0; LANES]);
        let best = Portable.keep_larger(best, one, [3.0; LANES]);
        assert!(best.0.iter().all(|value| value.is_nan()));
        assert_eq!(best.1, [2.0; LANES]);
    }

    #[test]
    fn the_rows_of_a_transposed_square_are_its_columns() {
        let square = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0], [13.0, 14.0, 15.0, 16.0]];
        assert_eq!(transpose(square)[1], [2.0, 6.0, 10.0, 14.0]);
        assert_eq!(transpose(transpose(square)), square);
    }

    #[test]
    fn a_sum_has_the_values_after_the_last_whole_vector_too() {
        assert_eq!(sum(&(1..=20).map(|i| i as f32).collect::<Vec<_>>()), 210.0);
    }
}
