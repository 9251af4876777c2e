//! Representations of a frozen encoder, and linear heads on them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Representations, `(rows, dim)` in row-major order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Features<'a> {
    /// A view of `values`, `dim` of them a row.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] when `dim` is 0, [`Error::Shape`] when the values are not whole rows, [`Error::NoSamples`]
    /// when there are none, [`Error::NotFiniteRow`] when one is NaN or infinite.
    pub fn new(values: &'a [f32], dim: usize) -> Result<Self> {
        if dim == 0 {
            return Err(Error::ZeroSize { option: "dim" });
        }
        if !values.len().is_multiple_of(dim) {
            let expected = format!("(rows, {dim})");
            return Err(Error::Shape { what: "features", expected, found: vec![values.len()] });
        }
        if values.is_empty() {
            return Err(Error::NoSamples);
        }
        if let Some((at, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFiniteRow { what: "a feature", row: at / dim, value: f64::from(value) });
        }
        Ok(Self { values, dim })
    }

    /// Number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Length of a row, at least 1.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.dim)
    }

    /// One row.
    pub(crate) fn get(&self, row: usize) -> Option<&'a [f32]> {
        self.values.get(row * self.dim..(row + 1) * self.dim)
    }

    /// Refuses labels or groups that are not one a row.
    pub(crate) fn check_column(&self, name: &'static str, column: &[u32]) -> Result<()> {
        let (left, right) = (self.rows(), column.len());
        if left == right {
            Ok(())
        } else {
            Err(Error::Lengths { left_name: "features", left, right_name: name, right })
        }
    }
}

/// Features with the class of each row: what classifiers are fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled<'a> {
    /// The samples.
    pub features: Features<'a>,
    /// The class of each row.
    pub labels: &'a [u32],
    /// Number of classes; each has samples.
    pub classes: usize,
}

impl Labelled<'_> {
    /// Refuses labels that are not one a row, or not classes, or that leave a class without samples.
    pub(crate) fn check(&self) -> Result<()> {
        self.features.check_column("labels", self.labels)?;
        check_classes(self.labels, self.classes)
    }
}

/// Refuses labels that are not classes, or that leave a class without samples.
pub(crate) fn check_classes(labels: &[u32], classes: usize) -> Result<()> {
    let mut seen = vec![false; classes];
    for (row, &value) in labels.iter().enumerate() {
        *seen.get_mut(value as usize).ok_or(Error::ClassOutOfRange {
            row,
            column: "label",
            value: value.into(),
            classes,
        })? = true;
    }
    match seen.iter().position(|seen| !seen) {
        Some(class) => Err(Error::ClassWithoutSamples { class }),
        None => Ok(()),
    }
}

/// A classifier on representations: logits = weight · x + bias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearHead {
    /// `(classes, dim)` in row-major order.
    pub weight: Vec<f32>,
    /// `(classes,)`.
    pub bias: Vec<f32>,
}

impl LinearHead {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.bias.len()
    }

    /// Logits `(rows, classes)` in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] when the weight is not `(classes, dim)` for these features.
    pub fn logits(&self, features: &Features<'_>) -> Result<Vec<f32>> {
        self.check(features.dim())?;
        let weights = || self.weight.chunks_exact(features.dim()).zip(&self.bias);
        let logit = |x: &[f32], weight: &[f32], bias: f32| {
            weight.iter().zip(x).map(|(weight, x)| f64::from(*weight) * f64::from(*x)).sum::<f64>() + f64::from(bias)
        };
        Ok(features.iter().flat_map(|x| weights().map(move |(weight, &bias)| logit(x, weight, bias) as f32)).collect())
    }

    /// The class with the largest logit of each row, the first of equals.
    ///
    /// # Errors
    /// As for [`LinearHead::logits`].
    pub fn predict(&self, features: &Features<'_>) -> Result<Vec<u32>> {
        let logits: Vec<f64> = self.logits(features)?.into_iter().map(f64::from).collect();
        Ok(largest_of_rows(&logits, self.classes()))
    }

    pub(crate) fn check(&self, dim: usize) -> Result<()> {
        if self.bias.is_empty() || self.weight.len() != self.bias.len() * dim {
            let expected = format!("(classes, {dim}) with {} classes by the bias", self.bias.len());
            return Err(Error::Shape { what: "weight of the head", expected, found: vec![self.weight.len()] });
        }
        Ok(())
    }
}

/// Position of the largest of each row of `classes` values, the first of equals.
pub(crate) fn largest_of_rows(values: &[f64], classes: usize) -> Vec<u32> {
    let largest = |row: &[f64]| {
        let mut best = (0, f64::NEG_INFINITY);
        for (class, &value) in (0u32..).zip(row) {
            if value > best.1 {
                best = (class, value);
            }
        }
        best.0
    };
    values.chunks_exact(classes.max(1)).map(largest).collect()
}
