//! What the processor can do at most.

use std::hint::black_box;
use std::time::Instant;

use cnc_nn::InstructionSet;

/// Sums that do not wait for each other: twice as many as it takes to keep two units busy.
const CHAINS: usize = 12;
const ROUNDS: usize = 1_000_000;

/// Operations a second of all threads together: multiplications and additions of values that never leave the registers.
pub fn peak() -> f64 {
    let quickest = (0..5).map(|_| once()).fold(f64::INFINITY, f64::min);
    quickest.recip()
}

/// Seconds an operation.
fn once() -> f64 {
    let start = Instant::now();
    let operations: usize = rayon::broadcast(|_| operations()).into_iter().sum();
    start.elapsed().as_secs_f64() / operations as f64
}

/// Works with the instructions that the kernels use, and returns how many operations that was.
fn operations() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;

        #[target_feature(enable = "avx512f")]
        fn of_avx512() {
            let (factor, summand) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(1.0));
            let mut sums = [summand; CHAINS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, factor, summand);
                }
            }
            black_box(sums);
        }

        #[target_feature(enable = "avx2,fma")]
        fn of_avx2() {
            let (factor, summand) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(1.0));
            let mut sums = [summand; CHAINS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, factor, summand);
                }
            }
            black_box(sums);
        }

        match InstructionSet::current() {
            InstructionSet::Avx512 => {
                // SAFETY: kernels use what the processor has.
                unsafe { of_avx512() };
                return 2 * 16 * CHAINS * ROUNDS;
            }
            InstructionSet::Avx2 => {
                // SAFETY: kernels use what the processor has, FMA too.
                unsafe { of_avx2() };
                return 2 * 8 * CHAINS * ROUNDS;
            }
            InstructionSet::Portable => {}
        }
    }
    const LANES: usize = 4;
    let (factor, summand) = (black_box(0.5f32), 1.0);
    let mut sums: [[f32; LANES]; CHAINS] = [[summand; LANES]; CHAINS];
    for _ in 0..ROUNDS {
        for sum in sums.as_flattened_mut() {
            *sum = if cfg!(target_arch = "aarch64") { sum.mul_add(factor, summand) } else { *sum * factor + summand };
        }
    }
    black_box(sums);
    2 * LANES * CHAINS * ROUNDS
}
