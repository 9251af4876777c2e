//! Exponential, error function and hyperbolic tangent of `f32`, without branches or calls, so that loops over them become
//! vector instructions. NaN in, NaN out.

/// `e^x` to 2 units in the last place; 1e-38 below -87.3, infinity above 88.7.
///
/// `x = n ln 2 + r` with whole `n`, and a polynomial for `e^r` (Moshier's Cephes, `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LEAST: f32 = -87.336_54;
    const MOST: f32 = 88.722_83;
    /// Added to a number of this size, a fraction is rounded to a whole number that stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons this way round keep NaN.
    let bounded = if x < LEAST { LEAST } else { x };
    let bounded = if bounded > MOST { MOST } else { bounded };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = bounded - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.500_000_1;
    let y = p * (r * r) + r + 1.0;
    // 2^n in two factors, as 2^128 is no f32.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let y = y * power(half) * power(n.wrapping_sub(half));
    if x > MOST { f32::INFINITY } else { y }
}

/// `erf(x)` to 2e-7 of the result: an odd polynomial near 0, elsewhere 1 less the exponential of a polynomial in `|x|` (the
/// coefficients are Juffa's minimax fits).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const NEAR: f32 = 0.921_875;
    let (size, square) = (x.abs(), x * x);
    let p = -1.728_534_7e-5 * size + 3.831_971_3e-4;
    let p = p * square + (-3.883_964_4e-3 * size + 2.425_462_2e-2);
    let p = p * size - 1.067_778_8e-1;
    let p = p * size - 6.348_467e-1;
    let p = p * size - 1.287_175_1e-1;
    let far = 1.0 - exp(p * size - size);
    let q = -5.967_617e-4;
    let q = q * square + 4.991_194_2e-3;
    let q = q * square - 2.676_813_5e-2;
    let q = q * square + 1.128_199_25e-1;
    let q = q * square - 3.761_253_4e-1;
    let q = q * square + 1.283_791_7e-1;
    if size > NEAR { far.copysign(x) } else { q * x + x }
}

/// `tanh(x)` to 2e-7 absolutely.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
        const COUNT: u32 = 100_000;
        (0..=COUNT).map(move |i| f64::from((from + (to - from) * f64::from(i) / f64::from(COUNT)) as f32))
    }

    /// The Taylor series; within -4 to 4 its terms lose no more than eight of an f64's sixteen digits.
    fn exact_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn the_exponential_is_right_to_2_units_in_the_last_place() {
        for x in steps(-87.3, 88.7) {
            let (ours, exact) = (f64::from(exp(x as f32)), x.exp());
            assert!((ours / exact - 1.0).abs() < 2.5e-7, "e^{x}: {ours}, not {exact}");
        }
        assert_eq!([exp(0.0), exp(89.0), exp(f32::INFINITY)], [1.0, f32::INFINITY, f32::INFINITY]);
        assert!(exp(-1000.0) < 1.3e-38 && exp(f32::NEG_INFINITY) < 1.3e-38 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_error_function_is_right_to_an_f32() {
        for x in steps(-3.99, 3.99) {
            let (ours, exact) = (f64::from(erf(x as f32)), exact_erf(x));
            assert!((ours - exact).abs() <= 2e-7 * exact.abs(), "erf {x}: {ours}, not {exact}");
        }
        assert!([4.0, 10.0, f32::INFINITY].into_iter().all(|x| erf(x) == 1.0 && erf(-x) == -erf(x)));
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn the_hyperbolic_tangent_is_right_to_an_f32() {
        for x in steps(-20.0, 20.0) {
            assert!((f64::from(tanh(x as f32)) - x.tanh()).abs() < 2.5e-7, "tanh {x}");
        }
        assert!(tanh(f32::INFINITY) == 1.0 && tanh(f32::NEG_INFINITY) == -1.0 && tanh(f32::NAN).is_nan());
    }
}
