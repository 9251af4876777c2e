//! Eight `f32` at a time, and sixteen in matrix products: AVX-512, or AVX2 with FMA, where the processor has it (found out
//! at run time), plain arrays elsewhere, which the compiler turns into the target's own vectors (NEON on aarch64, SSE2 on
//! older x86-64). [`InstructionSet`] says which.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod instruction_set;
mod instructions;
mod portable;
mod sums;

pub use instruction_set::InstructionSet;
pub(crate) use instructions::{Kernel, LANES, Shape, Simd, WIDE};
pub(crate) use portable::Portable;
pub(crate) use sums::{sum, sum_of_pairs, transpose};

/// Runs `kernel` with the instructions in use.
pub(crate) fn dispatch(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    match InstructionSet::current() {
        InstructionSet::Avx512 => {
            if let Some(simd) = avx512::Avx512::detect() {
                return simd.run(kernel);
            }
        }
        InstructionSet::Avx2 => {
            if let Some(simd) = avx2::Avx2::detect() {
                return simd.run(kernel);
            }
        }
        InstructionSet::Portable => {}
    }
    kernel.run(Portable);
}

/// The shapes of packed products with the instructions in use.
pub(crate) fn shape() -> Shape {
    struct Ask<'a>(&'a mut Option<Shape>);

    impl Kernel for Ask<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) {
            *self.0 = Some(S::SHAPE);
        }
    }

    let mut shape = None;
    dispatch(Ask(&mut shape));
    shape.unwrap_or(Portable::SHAPE)
}

/// Runs a test with each set of instructions that the processor has.
#[cfg(test)]
pub(crate) fn with_each_set(test: impl Fn() + Sync) {
    InstructionSet::available().into_iter().for_each(|set| set.install(&test).unwrap());
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
        let (floats, bytes) = &Portable::results(&x);
        for set in InstructionSet::available() {
            let (mut of_set, mut bytes_of_set) = (Vec::new(), [0; LANES]);
            let all = Everything { x: &x, floats: &mut of_set, bytes: &mut bytes_of_set };
            set.install(|| dispatch(all)).unwrap();
            assert_eq!((&of_set, &bytes_of_set), (floats, bytes), "{set}");
        }
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
