//! The Correct-N-Contrast loss.
//!
//! A contrastive batch has four parts: *anchors* A (predicted right), *positives* P (same class, predicted as another:
//! other spurious attribute), *negatives* N (other class, same prediction: same spurious attribute) and *easy
//! negatives* E (which are to the first positive what the negatives are to the anchor). With `sim` the cosine and τ the
//! temperature, the supervised contrastive loss of Zhang et al., "Correct-N-Contrast", ICML 2022 (arXiv 2203.01517) is
//!
//! ```text
//! side(x; pos, neg) = mean over p in pos of  -log( e^{sim(x,p)/τ} / ( Σ_{p'} e^{sim(x,p')/τ} + Σ_n e^{sim(x,n)/τ} ) )
//! L_con             = side(anchor; P, N) + side(positive; A, E)
//! ```
//!
//! It is evaluated as `logsumexp(sim/τ over pos and neg) - mean(sim/τ over pos)`: plain exponentials overflow 32-bit
//! floats below τ = 0.0113.

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The smallest temperature that [`ContrastiveLoss::new`] takes. The rounding of a cosine in 32-bit floats, about
/// 1e-7, divided by a smaller one would be noise of a whole unit of the exponent.
pub const SMALLEST_TEMPERATURE: f64 = 1e-6;

/// A vector shorter than this has no direction (the value is that of PyTorch's `normalize`).
const SHORTEST: f64 = 1e-12;

/// Which anchors are contrasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// Anchors against positives and negatives only.
    One,
    /// Also positives against anchors and easy negatives.
    Two,
}

/// How many rows of the anchors (and of the positives, for the second side) are contrasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// Every anchor against all positives and negatives, every positive against all anchors and easy negatives;
    /// the mean over both. One matrix product more than `Published`, and every row of the batch is used.
    Dense,
    /// Only the first anchor and the first positive, as in the published implementation.
    Published,
}

/// The settings of [`ContrastiveLoss`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ContrastiveOptions {
    /// τ, by which cosines are divided; published values are 0.05 and 0.1.
    pub temperature: f64,
    /// One or both sides.
    pub sides: Sides,
    /// Dense or published contrast.
    pub contrast: Contrast,
}

/// The representations (encoder outputs) of one contrastive batch, each `(rows, dim)`; row counts may differ.
#[derive(Debug, Clone)]
pub struct Parts {
    /// A, `(anchors, dim)`; the first row is the anchor of the batch.
    pub anchors: Tensor,
    /// P, `(positives, dim)`.
    pub positives: Tensor,
    /// N, `(negatives, dim)`; may have no rows.
    pub negatives: Tensor,
    /// E, `(easy negatives, dim)`; may have no rows, and is not looked at by a one-sided loss.
    pub easy_negatives: Tensor,
}

impl Parts {
    /// Splits one encoding of A ∪ P ∪ N ∪ E, `(rows, dim)`, into parts of `sizes` rows, in this order: encode once,
    /// then contrast. [`crate::ContrastiveBatch::rows`] and [`crate::ContrastiveBatch::sizes`] go with it.
    ///
    /// # Errors
    /// When the sizes do not add up to the number of rows.
    pub fn split(representations: &Tensor, sizes: [usize; 4]) -> Result<Self> {
        let total: usize = sizes.iter().sum();
        if representations.rank() != 2 || representations.dim(0)? != total {
            let expected = format!("({total}, dim), the sum of the parts {sizes:?}");
            return Err(shape_error("representations", expected, representations));
        }
        let [anchors, positives, negatives, easy_negatives] = sizes;
        let rows = |start, len| representations.narrow(0, start, len);
        Ok(Self {
            anchors: rows(0, anchors)?,
            positives: rows(anchors, positives)?,
            negatives: rows(anchors + positives, negatives)?,
            easy_negatives: rows(anchors + positives + negatives, easy_negatives)?,
        })
    }
}

/// The contrastive loss of one batch; see the [module](self) for the equation.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides};
///
/// # fn main() -> cnc_core::Result<()> {
/// let options = ContrastiveOptions { temperature: 1.0, sides: Sides::One, contrast: Contrast::Published };
/// let row = |x: f32, y: f32| Tensor::new(&[[x, y]], &Device::Cpu);
/// let parts = Parts { anchors: row(1.0, 0.0)?, positives: row(2.0, 0.0)?, negatives: row(0.0, 3.0)?, easy_negatives: row(0.0, 1.0)? };
/// // Cosines are 1 with the positive and 0 with the negative: -ln(e / (e + 1)).
/// let loss = ContrastiveLoss::new(options)?.forward(&parts)?.to_scalar::<f32>()?;
/// assert!((loss - 0.313_262).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ContrastiveLoss {
    options: ContrastiveOptions,
}

impl ContrastiveLoss {
    /// Checks the options.
    ///
    /// # Errors
    /// [`Error::Temperature`] when the temperature is NaN, infinite or below [`SMALLEST_TEMPERATURE`].
    pub fn new(options: ContrastiveOptions) -> Result<Self> {
        if !options.temperature.is_finite() || options.temperature < SMALLEST_TEMPERATURE {
            return Err(Error::Temperature { smallest: SMALLEST_TEMPERATURE, given: options.temperature });
        }
        Ok(Self { options })
    }

    /// The settings in force.
    #[must_use]
    pub fn options(&self) -> &ContrastiveOptions {
        &self.options
    }

    /// L_con of one contrastive batch, a scalar of the parts' dtype (half precision is computed in f32).
    ///
    /// At the edges: with no negatives the denominator is the sum over the positives alone. A row of zeros has no
    /// direction: its cosine with everything is 0 and it takes no gradient. NaN in, NaN out.
    ///
    /// # Errors
    /// [`Error::EmptyPart`] without anchors or positives (the mean over none is undefined), [`Error::Shape`] when a
    /// part is not `(rows, dim)` with the anchors' `dim`.
    pub fn forward(&self, parts: &Parts) -> Result<Tensor> {
        let dim = check("anchors", &parts.anchors, None)?;
        check("positives", &parts.positives, Some(dim))?;
        check("negatives", &parts.negatives, Some(dim))?;
        for (part, rows) in [("anchors", &parts.anchors), ("positives", &parts.positives)] {
            if rows.dim(0)? == 0 {
                return Err(Error::EmptyPart { part });
            }
        }
        let two_sided = self.options.sides == Sides::Two;
        if two_sided {
            check("easy negatives", &parts.easy_negatives, Some(dim))?;
        }

        let anchors = unit_rows(&parts.anchors)?;
        let positives = unit_rows(&parts.positives)?;
        let negatives = unit_rows(&parts.negatives)?;
        let (contrasted_anchors, contrasted_positives) = match self.options.contrast {
            Contrast::Dense => (anchors.clone(), positives.clone()),
            Contrast::Published => (anchors.narrow(0, 0, 1)?, positives.narrow(0, 0, 1)?),
        };
        // (contrasted anchors, positives)
        let to_positives = self.logits(&contrasted_anchors, &positives)?;
        let first = self.side(&to_positives, &contrasted_anchors, &negatives)?;
        if !two_sided {
            return Ok(first);
        }
        let easy_negatives = unit_rows(&parts.easy_negatives)?;
        // (contrasted positives, anchors)
        let to_anchors = match self.options.contrast {
            Contrast::Dense => to_positives.t()?,
            Contrast::Published => self.logits(&contrasted_positives, &anchors)?,
        };
        let second = self.side(&to_anchors, &contrasted_positives, &easy_negatives)?;
        Ok((first + second)?)
    }

    /// Mean over the contrasted rows of `side`, given their logits to their positives, `(contrasted, positives)`.
    fn side(&self, to_positives: &Tensor, contrasted: &Tensor, negatives: &Tensor) -> Result<Tensor> {
        let all = if negatives.dim(0)? == 0 {
            to_positives.clone()
        } else {
            Tensor::cat(&[to_positives, &self.logits(contrasted, negatives)?], 1)?
        };
        let denominators = all.log_sum_exp(1)?; // (contrasted,)
        Ok((denominators.mean_all()? - to_positives.mean_all()?)?)
    }

    /// Cosines over the temperature of all pairs of unit rows: `(left, right)`.
    fn logits(&self, left: &Tensor, right: &Tensor) -> Result<Tensor> {
        Ok((left.matmul(&right.t()?)? * self.options.temperature.recip())?)
    }
}

/// Rows scaled to length 1; rows shorter than [`SHORTEST`] become zero and pass no gradient on. (Dividing them by
/// `SHORTEST`, as PyTorch does, would pass on gradients of 1e12.)
fn unit_rows(rows: &Tensor) -> Result<Tensor> {
    let rows = match rows.dtype() {
        DType::F16 | DType::BF16 => rows.to_dtype(DType::F32)?,
        _ => rows.clone(),
    };
    if rows.elem_count() == 0 {
        return Ok(rows);
    }
    let squares = rows.sqr()?.sum_keepdim(D::Minus1)?; // (rows, 1)
    let has_direction = squares.detach().ge(SHORTEST * SHORTEST)?.to_dtype(rows.dtype())?;
    // The bound is inside the root: the root's derivative at zero is infinite, and infinity times zero is NaN.
    let lengths = squares.maximum(SHORTEST * SHORTEST)?.sqrt()?;
    Ok(rows.broadcast_mul(&(has_direction / lengths)?)?)
}

/// Checks that a part is `(rows, dim)` and gives its `dim`.
fn check(part: &'static str, rows: &Tensor, dim: Option<usize>) -> Result<usize> {
    match (rows.dims(), dim) {
        (&[_, found], None) => Ok(found),
        (&[_, found], Some(dim)) if found == dim => Ok(found),
        (_, None) => Err(shape_error(part, "(rows, dim)".to_owned(), rows)),
        (_, Some(dim)) => Err(shape_error(part, format!("(rows, {dim}), as wide as the anchors"), rows)),
    }
}

fn shape_error(what: &'static str, expected: String, found: &Tensor) -> Error {
    Error::Shape { what, expected, found: found.dims().to_vec() }
}
