//! Seeded draws of row indices.
//!
//! The one place of this crate that turns a generator's words into draws. It uses 32-bit words alone, ChaCha's are the same
//! everywhere, and a test holds the first draws of a seed: so a seed gives the same batches, folds and fits on every
//! platform and with every version of `rand`, which promises neither for its own sequence functions.

use std::collections::BTreeMap;

use rand::RngCore;

use crate::error::{Error, Result};

/// A uniform index below `bound`, without bias (Lemire 2019, "Fast random integer generation in an interval").
/// A bound of 0 gives 0: callers refuse empty pools before.
pub(crate) fn below<R: RngCore + ?Sized>(bound: u32, rng: &mut R) -> u32 {
    if bound <= 1 {
        return 0;
    }
    let unfair = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        let (high, low) = ((product >> 32) as u32, product as u32);
        if low >= unfair {
            return high;
        }
    }
}

/// `amount` different indices below `len` (at most `len` of them) in random order. Time and memory grow with
/// `amount` alone: a Fisher-Yates shuffle that stores only the places it touched.
pub(crate) fn distinct<R: RngCore + ?Sized>(len: u32, amount: usize, rng: &mut R) -> Vec<u32> {
    let mut moved = BTreeMap::new();
    (0..len)
        .take(amount)
        .map(|place| {
            let other = place + below(len - place, rng);
            let here = moved.get(&place).copied().unwrap_or(place);
            moved.insert(other, here).unwrap_or(other)
        })
        .collect()
}

/// `amount` indices below `len`: different ones where there are enough, else each drawn from all of them.
pub(crate) fn indices<R: RngCore + ?Sized>(len: u32, amount: usize, rng: &mut R) -> Vec<u32> {
    if len as usize >= amount { distinct(len, amount, rng) } else { (0..amount).map(|_| below(len, rng)).collect() }
}

/// All rows `0..rows` in random order.
///
/// ```
/// use cnc_core::rand::SeedableRng;
/// let mut rng = cnc_core::rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut order = cnc_core::draws::shuffled(5, &mut rng);
/// order.sort_unstable();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
pub fn shuffled<R: RngCore + ?Sized>(rows: u32, rng: &mut R) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows).collect();
    shuffle(&mut order, rng);
    order
}

/// Puts the rows in random order (Fisher-Yates); there are at most `u32::MAX`.
pub(crate) fn shuffle<R: RngCore + ?Sized>(rows: &mut [u32], rng: &mut R) {
    let length = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    for place in (1..length).rev() {
        rows.swap(place as usize, below(place + 1, rng) as usize);
    }
}

/// A uniform number in (0, 1], of 53 bits.
pub(crate) fn unit<R: RngCore + ?Sized>(rng: &mut R) -> f64 {
    const STEPS: f64 = (1u64 << 53) as f64;
    let bits = (u64::from(rng.next_u32()) << 32 | u64::from(rng.next_u32())) >> 11;
    (bits + 1) as f64 / STEPS
}

/// Draws from the standard normal distribution (Box and Muller 1958).
pub(crate) fn standard_normals<R: RngCore + ?Sized>(amount: usize, rng: &mut R) -> Vec<f64> {
    let mut draws = Vec::with_capacity(amount + 1);
    while draws.len() < amount {
        let length = (-2.0 * unit(rng).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * unit(rng)).sin_cos();
        draws.extend([length * cosine, length * sine]);
    }
    draws.truncate(amount);
    draws
}

/// One epoch of plain batches: all rows `0..rows` in random order, cut into batches of `batch`; the last may be shorter.
///
/// # Errors
/// [`Error::ZeroSize`] when `batch` is 0.
pub fn shuffled_batches<R: RngCore + ?Sized>(rows: u32, batch: usize, rng: &mut R) -> Result<Vec<Vec<u32>>> {
    if batch == 0 {
        return Err(Error::ZeroSize { option: "batch" });
    }
    Ok(shuffled(rows, rng).chunks(batch).map(<[u32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// How often each outcome comes up; 6,000 draws of 6 outcomes make 1,000 each, with a standard deviation of 29.
    fn frequencies(mut draw: impl FnMut(&mut ChaCha8Rng) -> Vec<u32>) -> BTreeMap<Vec<u32>, u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut counts = BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(draw(&mut rng)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_seed_gives_the_draws_that_it_always_gave() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(shuffled(8, &mut rng), [0, 1, 3, 7, 2, 6, 4, 5]);
        assert_eq!(distinct(1000, 4, &mut rng), [60, 196, 879, 581]);
        assert_eq!(indices(3, 5, &mut rng), [1, 1, 2, 2, 2]);
        assert_eq!([unit(&mut rng), unit(&mut rng)], [0.4942764269196852, 0.9011706132800997]);
    }

    #[test]
    fn every_order_and_every_selection_is_equally_likely() {
        let orders = frequencies(|rng| shuffled(3, rng));
        let pairs = frequencies(|rng| distinct(3, 2, rng));
        let singles = frequencies(|rng| vec![below(6, rng)]);
        for counts in [orders, pairs, singles] {
            assert_eq!(counts.len(), 6);
            assert!(counts.values().all(|count| (880..1120).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn normal_draws_have_the_moments_of_the_distribution() {
        let draws = standard_normals(20_001, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(draws.len(), 20_001);
        let moment = |power: i32| draws.iter().map(|draw| draw.powi(power)).sum::<f64>() / draws.len() as f64;
        // Four standard deviations of each moment over 20,001 draws.
        for (power, expected, margin) in [(1, 0.0, 0.03), (2, 1.0, 0.04), (3, 0.0, 0.11), (4, 3.0, 0.28)] {
            assert!((moment(power) - expected).abs() < margin, "moment {power}: {}", moment(power));
        }
    }

    #[test]
    fn distinct_indices_are_distinct_up_to_the_whole_pool() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (len, amount, expected) in [(5, 3, 3), (5, 5, 5), (5, 9, 5), (0, 2, 0), (u32::MAX, 100, 100)] {
            let mut drawn = distinct(len, amount, &mut rng);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), expected);
            assert!(drawn.iter().all(|at| *at < len));
        }
    }

    #[test]
    fn more_indices_than_there_are_come_with_replacement() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(indices(1, 3, &mut rng), [0, 0, 0]);
        assert_eq!(indices(2, 50, &mut rng).len(), 50);
    }
}
