//! The alignment loss: how far apart a class' groups lie in the space of representations.
//!
//! For groups g = (y, a) and g' = (y, a') of one class, the mean Euclidean distance between their representations
//! (Zhang et al. 2022, arXiv 2203.01517):
//!
//! ```text
//! L_align(g, g') = 1 / (|g| |g'|) · Σ_{x in g} Σ_{x' in g'} ‖ f(x) - f(x') ‖₂
//! ```
//!
//! The paper bounds the gap between a class' worst-group and average loss by its largest value over pairs of groups.
//! A figure for reports: it takes no part in training, and carries no gradient.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::groups::Groups;

/// At most this many samples of each group are compared, evenly spaced over its rows: the mean of 512 x 512 distances
/// does not get better with more, and needs a bounded 2 MiB.
pub const SAMPLES_PER_GROUP: usize = 512;

/// Which representations are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lengths {
    /// As the encoder gives them: the paper's definition.
    Raw,
    /// Scaled to length 1, what the contrastive loss sees. Distances are in [0, 2] and can be compared between models.
    Unit,
}

/// The alignment loss of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassAlignment {
    /// The class.
    pub class: u32,
    /// Mean over its pairs of groups.
    pub mean: f64,
    /// Largest over its pairs of groups, the one in the bound.
    pub largest: f64,
}

/// The alignment loss of a set of representations; smaller is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    classes: Vec<ClassAlignment>,
}

impl Alignment {
    /// Compares the groups of each class. `representations` is `(rows, dim)`, and `classes` has the class of each group,
    /// that all of its samples are of; empty groups take no part.
    ///
    /// # Errors
    /// [`Error::Shape`] when the tensor is not a matrix, [`Error::Lengths`] when the groups are not of its rows or there is
    /// not one class a group, [`Error::NotFinite`] when a representation is not finite.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use cnc_core::Groups;
    /// use cnc_core::evaluation::{Alignment, Lengths};
    ///
    /// # fn main() -> cnc_core::Result<()> {
    /// let representations = Tensor::new(&[[0f32, 0.0], [3.0, 4.0], [0.0, 1.0]], &Device::Cpu)?;
    /// let groups = Groups::new([vec![0], vec![1, 2]], 3)?;
    /// let alignment = Alignment::measure(&representations, &groups, &[0, 0], Lengths::Raw)?;
    /// assert_eq!(alignment.mean(), Some(3.0)); // distances 5 and 1
    /// # Ok(())
    /// # }
    /// ```
    pub fn measure(representations: &Tensor, groups: &Groups, classes: &[u32], lengths: Lengths) -> Result<Self> {
        let &[rows, _] = representations.dims() else {
            let (what, expected) = ("representations", "(rows, dim)".to_owned());
            return Err(Error::Shape { what, expected, found: representations.dims().to_vec() });
        };
        groups.check_samples("representations", rows)?;
        let (left, right) = (groups.rows().len(), classes.len());
        if left != right {
            return Err(Error::Lengths { left_name: "groups", left, right_name: "classes of the groups", right });
        }
        let mut of_class = BTreeMap::<u32, Vec<Tensor>>::new();
        for (class, listed) in classes.iter().zip(groups.rows()) {
            if !listed.is_empty() {
                of_class.entry(*class).or_default().push(gather(representations, listed, lengths)?);
            }
        }
        let mut classes = Vec::new();
        for (class, groups) in of_class {
            let mut distances = Vec::new();
            for (at, left) in groups.iter().enumerate() {
                for right in groups.iter().skip(at + 1) {
                    distances.push(mean_distance(left, right)?);
                }
            }
            if distances.iter().any(|distance| !distance.is_finite()) {
                return Err(Error::NotFinite { what: "alignment loss", class });
            }
            if !distances.is_empty() {
                let mean = distances.iter().sum::<f64>() / distances.len() as f64;
                let largest = distances.iter().copied().fold(0.0, f64::max);
                classes.push(ClassAlignment { class, mean, largest });
            }
        }
        Ok(Self { classes })
    }

    /// Each class with at least two groups that have samples, ascending.
    #[must_use]
    pub fn classes(&self) -> &[ClassAlignment] {
        &self.classes
    }

    /// Mean over the classes; `None` when no class has two groups.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let count = self.classes.len();
        (count > 0).then(|| self.classes.iter().map(|class| class.mean).sum::<f64>() / count as f64)
    }

    /// The class with the largest pair of groups; `None` when no class has two groups.
    #[must_use]
    pub fn worst(&self) -> Option<ClassAlignment> {
        self.classes.iter().copied().reduce(|worst, next| if next.largest > worst.largest { next } else { worst })
    }
}

/// The group's representations in f64 on the CPU (where every dtype is at hand), `(at most SAMPLES_PER_GROUP, dim)`.
fn gather(representations: &Tensor, rows: &[u32], lengths: Lengths) -> Result<Tensor> {
    let taken = rows.len().min(SAMPLES_PER_GROUP);
    let evenly: Vec<u32> = (0..taken).filter_map(|at| rows.get(at * rows.len() / taken)).copied().collect();
    let evenly = Tensor::new(evenly, representations.device())?;
    let chosen = representations.detach().index_select(&evenly, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    match lengths {
        Lengths::Raw => Ok(chosen),
        Lengths::Unit => {
            let norms = chosen.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(f64::MIN_POSITIVE)?;
            Ok(chosen.broadcast_div(&norms)?)
        }
    }
}

/// Mean of all pairwise distances, by ‖x‖² + ‖x'‖² - 2 x·x' (in f64: close points would cancel in f32).
fn mean_distance(left: &Tensor, right: &Tensor) -> Result<f64> {
    let squares = |rows: &Tensor| rows.sqr()?.sum_keepdim(D::Minus1); // (rows, 1)
    let sums = squares(left)?.broadcast_add(&squares(right)?.t()?)?; // (left, right)
    let squared = (sums - (left.matmul(&right.t()?)? * 2.0)?)?;
    Ok(squared.maximum(0.0)?.sqrt()?.mean_all()?.to_scalar::<f64>()?)
}
