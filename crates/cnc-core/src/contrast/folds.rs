//! Folds for cross-fitting: every sample is predicted by a model that has not seen it.

use rand::RngCore;

use crate::draws::shuffle;
use crate::error::{Error, Result};
use crate::groups::rows_by_key;

/// The fold, below `k`, of each row. Rows of a class are spread evenly over the folds, at random, and so are all rows:
/// numbers differ by 1 at most.
///
/// # Errors
/// [`Error::NoSamples`], [`Error::TooManyRows`], and [`Error::Setting`] when `k` is below 2 or above the number of rows.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use rand::SeedableRng;
/// let folds = cnc_core::contrast::folds(&[0, 0, 1, 1], 2, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0))?;
/// assert_eq!([folds[0] + folds[1], folds[2] + folds[3]], [1, 1]); // one of each class in each fold
/// # Ok(())
/// # }
/// ```
pub fn folds<R: RngCore + ?Sized>(labels: &[u32], k: usize, rng: &mut R) -> Result<Vec<u32>> {
    let classes = rows_by_key(labels)?;
    let number = u32::try_from(k).ok().filter(|_| (2..=labels.len()).contains(&k));
    let Some(number) = number else {
        let expected = "at least 2 and at most the number of rows";
        return Err(Error::Setting { option: "number of folds", expected, given: k as f64 });
    };
    let mut fold_of = vec![0; labels.len()];
    let mut next = (0..number).cycle();
    for mut rows in classes {
        shuffle(&mut rows, rng);
        for (row, fold) in rows.into_iter().zip(&mut next) {
            if let Some(of_row) = fold_of.get_mut(row as usize) {
                *of_row = fold;
            }
        }
    }
    Ok(fold_of)
}
