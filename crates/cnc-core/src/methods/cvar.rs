//! Conditional value at risk of a batch.
//!
//! Levy, Carmon, Duchi, Sidford, "Large-Scale Methods for Distributionally Robust Optimization", NeurIPS 2020
//! (arXiv 2010.05893): the loss under the worst distribution that gives no sample more than 1/(α·n), which is the mean of
//! the worst share α. Where α·n is not whole, the sample at the boundary counts by the fraction:
//!
//! ```text
//! CVaR = ( sum of the ⌊α·n⌋ largest losses + (α·n - ⌊α·n⌋) · the next one ) / (α·n)
//! ```

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::losses::{values, weighted_sum};

/// Mean of the worst share `alpha` of the losses `(batch,)`, a scalar; 1 is the plain mean. Of equal losses at the
/// boundary the first rows are taken.
///
/// # Errors
/// [`Error::Setting`] when `alpha` is not in (0, 1], [`Error::Shape`], [`Error::EmptyBatch`], and
/// [`Error::NotFiniteRow`] for a loss that is NaN or infinite.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use candle_core::{Device, Tensor};
/// let losses = Tensor::new(&[1f32, 4.0, 2.0, 3.0], &Device::Cpu)?;
/// let worst = |alpha| cnc_core::methods::cvar(&losses, alpha)?.to_scalar::<f32>().map_err(cnc_core::Error::from);
/// assert_eq!(worst(0.5)?, 3.5);
/// assert_eq!(worst(0.375)?, (4.0 + 0.5 * 3.0) / 1.5);
/// assert_eq!(worst(0.1)?, 4.0);
/// # Ok(())
/// # }
/// ```
pub fn cvar(losses: &Tensor, alpha: f64) -> Result<Tensor> {
    if !(alpha > 0.0 && alpha <= 1.0) {
        return Err(Error::Setting { option: "alpha", expected: "above 0 and at most 1", given: alpha });
    }
    let values = values(losses)?;
    let worst = alpha * values.len() as f64; // samples, not a whole number of them
    let mut order: Vec<(usize, f64)> = values.into_iter().enumerate().collect();
    order.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let mut weights = vec![0.0; order.len()];
    for (rank, (row, _)) in order.into_iter().enumerate() {
        if let Some(weight) = weights.get_mut(row) {
            *weight = (worst - rank as f64).clamp(0.0, 1.0) / worst;
        }
    }
    weighted_sum(losses, weights)
}
