//! Just Train Twice.
//!
//! Liu et al., "Just Train Twice: Improving Group Robustness without Training Group Information", ICML 2021
//! (arXiv 2107.09044): a second model is trained on a set that repeats what a first one got wrong.

use crate::error::{Error, Result};

/// All rows `0..rows` once, and the `errors` of a first model `more` times besides (λ_up in Just Train Twice: the authors add
/// that many copies to a set that has them already, run_expt.py:94-105), to be shuffled into epochs. Every error is to be listed
/// once.
///
/// # Errors
/// [`Error::RowOutOfRange`] when an error is not one of the rows, [`Error::TooManyRows`] when an epoch would have more draws than can be numbered.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// assert_eq!(cnc_core::methods::upsampled(4, &[1, 3], 2)?, [0, 1, 2, 3, 1, 3, 1, 3]);
/// # Ok(())
/// # }
/// ```
pub fn upsampled(rows: u32, errors: &[u32], more: u64) -> Result<Vec<u32>> {
    if let Some(&row) = errors.iter().find(|&&row| row >= rows) {
        return Err(Error::RowOutOfRange { what: "the errors", row, rows: rows as usize });
    }
    let total = (errors.len() as u64).saturating_mul(more).saturating_add(u64::from(rows));
    if total > u64::from(u32::MAX) {
        return Err(Error::TooManyRows { rows: usize::try_from(total).unwrap_or(usize::MAX) });
    }
    let mut all: Vec<u32> = (0..rows).collect();
    for _ in 0..more {
        all.extend(errors);
    }
    Ok(all)
}
