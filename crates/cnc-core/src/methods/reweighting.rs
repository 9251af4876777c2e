//! Balancing by sampling and by weights.
//!
//! Idrissi, Arjovsky, Pezeshki, Lopez-Paz, "Simple data balancing achieves competitive worst-group-accuracy", CLeaR 2022
//! (arXiv 2110.14503):
//!
//! | method | how |
//! |---|---|
//! | RWG, RWY: reweighting groups, classes | [`BalancedSampler`] over the rows' groups or classes |
//! | SUBG, SUBY: subsampling groups, classes | [`subsample`], once, and ERM on what is left |
//!
//! Group DRO (Sagawa et al. 2020) samples its groups uniformly too.

use rand::RngCore;

use crate::draws::{below, distinct, shuffle};
use crate::error::{Error, Result};
use crate::fits::features::Labelled;
use crate::groups::rows_by_key;

/// Draws rows such that every key (group or class) is equally likely, whatever its number of rows.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let rows = cnc_core::methods::BalancedSampler::new(&[0, 0, 0, 0, 0, 0, 0, 7])?.draw(1000, &mut rng);
/// let of_seven = rows.iter().filter(|&&row| row == 7).count();
/// assert!((400..600).contains(&of_seven)); // one row of eight, half of the draws
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancedSampler {
    /// The rows of each key that has some.
    pools: Vec<Vec<u32>>,
}

impl BalancedSampler {
    /// A sampler of rows by `keys`, one a row.
    ///
    /// # Errors
    /// [`Error::NoSamples`], or [`Error::TooManyRows`] where rows cannot be numbered.
    pub fn new(keys: &[u32]) -> Result<Self> {
        Ok(Self { pools: rows_by_key(keys)? })
    }

    /// `n` rows: each of a uniformly drawn key, and of its rows a uniformly drawn one, with replacement.
    pub fn draw<R: RngCore + ?Sized>(&self, n: usize, rng: &mut R) -> Vec<u32> {
        let keys = length(&self.pools);
        (0..n)
            .filter_map(|_| {
                let pool = self.pools.get(below(keys, rng) as usize)?;
                pool.get(below(length(pool), rng) as usize).copied()
            })
            .collect()
    }
}

/// Samples with what subsets of them are balanced by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balanced<'a> {
    /// The samples.
    pub samples: Labelled<'a>,
    /// A key (group or class) for each row.
    pub keys: &'a [u32],
}

impl Balanced<'_> {
    /// Refuses labels that do not fit, and keys, called `name`, that are not one a row.
    pub(crate) fn check(&self, name: &'static str) -> Result<()> {
        self.samples.check()?;
        self.samples.features.check_column(name, self.keys)
    }
}

/// As many rows of every key as the rarest has, drawn without replacement, in random order.
///
/// # Errors
/// [`Error::NoSamples`], or [`Error::TooManyRows`] where rows cannot be numbered.
pub fn subsample<R: RngCore + ?Sized>(keys: &[u32], rng: &mut R) -> Result<Vec<u32>> {
    let pools = rows_by_key(keys)?;
    let smallest = pools.iter().map(Vec::len).min().unwrap_or(0);
    let mut rows: Vec<u32> = pools
        .iter()
        .flat_map(|pool| {
            let places = distinct(length(pool), smallest, rng);
            places.into_iter().filter_map(|place| pool.get(place as usize)).copied()
        })
        .collect();
    shuffle(&mut rows, rng);
    Ok(rows)
}

/// A weight for the loss of each class: n / (classes · n_class), counting the classes that have samples, so that
/// the weights of all samples have a mean of 1. A class without samples has weight 0.
///
/// # Errors
/// [`Error::NoSamples`], or [`Error::ClassOutOfRange`] naming the row.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// assert_eq!(cnc_core::methods::class_weights(&[0, 0, 0, 1], 2)?, [2.0 / 3.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub fn class_weights(labels: &[u32], classes: usize) -> Result<Vec<f64>> {
    if labels.is_empty() {
        return Err(Error::NoSamples);
    }
    let mut counts = vec![0usize; classes];
    for (row, &value) in labels.iter().enumerate() {
        let out_of_range = Error::ClassOutOfRange { row, column: "label", value: value.into(), classes };
        *counts.get_mut(value as usize).ok_or(out_of_range)? += 1;
    }
    let in_use = counts.iter().filter(|&&count| count > 0).count();
    let weight = |count: usize| if count > 0 { labels.len() as f64 / (in_use * count) as f64 } else { 0.0 };
    Ok(counts.into_iter().map(weight).collect())
}

/// Number of rows; [`rows_by_key`] takes no more than fit.
fn length<T>(rows: &[T]) -> u32 {
    u32::try_from(rows.len()).unwrap_or(u32::MAX)
}
