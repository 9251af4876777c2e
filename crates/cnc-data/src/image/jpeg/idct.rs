//! The inverse cosine transform of an 8x8 block: libjpeg's accurate one in whole numbers, to the bit.
//!
//! Loeffler, Ligtenberg and Moschytz, ICASSP 1989, in 13-bit fixed point. Both passes work on eight columns at once.

/// Eight values side by side.
type Lanes = [i32; 8];

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

#[inline(always)]
fn map2(a: Lanes, b: Lanes, f: impl Fn(i32, i32) -> i32) -> Lanes {
    let mut out = [0; 8];
    for i in 0..8 {
        out[i] = f(a[i], b[i]);
    }
    out
}

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    map2(a, b, i32::wrapping_add)
}

#[inline(always)]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    map2(a, b, i32::wrapping_sub)
}

/// Times a constant in 13-bit fixed point.
#[inline(always)]
fn times(a: Lanes, constant: i32) -> Lanes {
    map2(a, [constant; 8], i32::wrapping_mul)
}

#[inline(always)]
fn shifted(a: Lanes) -> Lanes {
    map2(a, a, |a, _| a.wrapping_shl(CONST_BITS))
}

/// One dimension, rounded off by `shift` bits.
#[inline(always)]
fn pass(rows: [Lanes; 8], shift: u32) -> [Lanes; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let z1 = times(add(r2, r6), 4433);
    let tmp2 = add(z1, times(r6, -15137));
    let tmp3 = add(z1, times(r2, 6270));
    let tmp0 = shifted(add(r0, r4));
    let tmp1 = shifted(sub(r0, r4));
    let (tmp10, tmp13) = (add(tmp0, tmp3), sub(tmp0, tmp3));
    let (tmp11, tmp12) = (add(tmp1, tmp2), sub(tmp1, tmp2));

    let (z1, z2, z3, z4) = (add(r7, r1), add(r5, r3), add(r7, r3), add(r5, r1));
    let z5 = times(add(z3, z4), 9633);
    let (z1, z2) = (times(z1, -7373), times(z2, -20995));
    let (z3, z4) = (add(times(z3, -16069), z5), add(times(z4, -3196), z5));
    let tmp0 = add(times(r7, 2446), add(z1, z3));
    let tmp1 = add(times(r5, 16819), add(z2, z4));
    let tmp2 = add(times(r3, 25172), add(z2, z3));
    let tmp3 = add(times(r1, 12299), add(z1, z4));

    let round = |a: Lanes| map2(a, a, |a, _| a.wrapping_add(1 << (shift - 1)) >> shift);
    [
        round(add(tmp10, tmp3)),
        round(add(tmp11, tmp2)),
        round(add(tmp12, tmp1)),
        round(add(tmp13, tmp0)),
        round(sub(tmp13, tmp0)),
        round(sub(tmp12, tmp1)),
        round(sub(tmp11, tmp2)),
        round(sub(tmp10, tmp3)),
    ]
}

#[inline(always)]
fn transpose(rows: [Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0; 8]; 8];
    for (y, row) in rows.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            out[x][y] = *value;
        }
    }
    out
}

/// The samples of a block of dequantised coefficients, by rows.
#[inline(always)]
pub(super) fn idct(block: &[Lanes; 8]) -> [[u8; 8]; 8] {
    let columns = pass(*block, CONST_BITS - PASS1_BITS);
    let rows = transpose(pass(transpose(columns), CONST_BITS + PASS1_BITS + 3));
    rows.map(|row| row.map(|value| (value + 128).clamp(0, 255) as u8))
}

/// The sample that a block without anything but its mean is filled with.
#[inline(always)]
pub(super) fn flat(dc: i32) -> u8 {
    (((dc + 4) >> 3) + 128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in floats.
    fn defined(block: &[Lanes; 8]) -> [[f64; 8]; 8] {
        let scale = |k: usize| if k == 0 { (0.125_f64).sqrt() } else { 0.5 };
        let cosine = |x: usize, k: usize| ((2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos();
        let mut out = [[0.0; 8]; 8];
        for (y, row) in out.iter_mut().enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                for (v, coefficients) in block.iter().enumerate() {
                    for (u, coefficient) in coefficients.iter().enumerate() {
                        *value += scale(u) * scale(v) * f64::from(*coefficient) * cosine(x, u) * cosine(y, v);
                    }
                }
                *value += 128.0;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn it_is_the_inverse_cosine_transform(values in proptest::collection::vec(-200_i32..200, 64)) {
            let mut block = [[0; 8]; 8];
            values.iter().enumerate().for_each(|(i, value)| block[i / 8][i % 8] = *value);
            for (ours, theirs) in idct(&block).iter().flatten().zip(defined(&block).iter().flatten()) {
                prop_assert!((f64::from(*ours) - theirs.clamp(0.0, 255.0)).abs() < 0.6);
            }
        }

        #[test]
        fn a_flat_block_is_the_transform_of_its_mean(dc in -3000_i32..3000) {
            let mut block = [[0; 8]; 8];
            block[0][0] = dc;
            prop_assert_eq!(idct(&block), [[flat(dc); 8]; 8]);
        }
    }
}
