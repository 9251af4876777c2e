//! Whether scores put the samples of one class above those of the other.

use crate::error::{Error, Result};

/// The area under the ROC curve in `[0, 1]`: the share of pairs of a positive and another sample of which the positive one has the
/// higher score, where equal scores count half (Mann and Whitney). `None` where one of the two kinds has no samples.
///
/// # Errors
/// [`Error::Lengths`] when there is not one score a sample, [`Error::NotFiniteRow`] for a score that is NaN or infinite.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// let area = cnc_core::evaluation::area_under_roc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(area, Some(0.75));
/// # Ok(())
/// # }
/// ```
pub fn area_under_roc(scores: &[f32], positive: &[bool]) -> Result<Option<f64>> {
    if scores.len() != positive.len() {
        return Err(Error::Lengths {
            left_name: "scores",
            left: scores.len(),
            right_name: "samples",
            right: positive.len(),
        });
    }
    if let Some((row, score)) = scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        return Err(Error::NotFiniteRow { what: "the score", row, value: f64::from(*score) });
    }
    let mut ranked: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
    for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
        let of_these = equal.iter().filter(|(_, positive)| *positive).count() as f64;
        let others = equal.len() as f64 - of_these;
        pairs += of_these * (below + others / 2.0);
        below += others;
        positives += of_these;
    }
    Ok((positives > 0.0 && below > 0.0).then(|| pairs / (positives * below)))
}
