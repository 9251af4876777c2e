//! Slices of the training set by what a first, biased model predicts.
//!
//! A model trained plainly leans on the spurious attribute, so its predictions stand in for that attribute. Slice s
//! holds the samples predicted as s (Zhang et al. 2022, arXiv 2203.01517):
//!
//! - *anchors* of slice s: samples of the slice that are of class s;
//! - *negatives* of slice s: samples of the slice that are of another class (other class, same attribute);
//! - *positives* of class y: samples of class y in another slice (same class, other attribute).
//!
//! A slice without wrong samples has no negatives of its own and a class without wrong samples no positives. Then the
//! published fall-backs are taken, and listed by [`Slices::fallbacks`] so that they end up in the log: all samples of
//! the other classes are the slice's negatives, all samples of the class its positives.

use super::notes::{Fallback, SliceCounts};
use crate::error::{Error, Result};
use crate::fits::matching::classes_of_clusters;

/// The training set in slices. Rows are positions in the training set, ascending in every list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slices {
    slice_of: Vec<u32>,
    anchors: Vec<Vec<u32>>,
    own_negatives: Vec<Vec<u32>>,
    own_positives: Vec<Vec<u32>>,
    errors: Vec<u32>,
    /// All rows sorted by class, and where each class starts in them (one entry more than classes).
    by_class: Vec<u32>,
    class_starts: Vec<usize>,
    fallbacks: Vec<Fallback>,
}

impl Slices {
    /// Slices by predicted class. `labels` and `predictions` are classes below `classes`, one a training sample.
    /// Any other assignment of samples to slices will do too, when slice s is the one matched to class s.
    ///
    /// # Errors
    /// When the columns differ in length, a value is not a class (the row is named), there are no samples, or all
    /// samples are of one class. Everything else has an outcome: see [`Slices::fallbacks`].
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// // Row 2 is of class 0 but predicted as 1; nothing of class 1 is predicted wrongly.
    /// let slices = cnc_core::Slices::from_predictions(&[0, 0, 0, 1, 1], &[0, 0, 1, 1, 1], 2)?;
    /// assert_eq!(slices.anchors(1), [3, 4]);
    /// assert_eq!(slices.negatives(1).iter().collect::<Vec<_>>(), [2]);
    /// assert_eq!(slices.positives(0), [2]);
    /// assert_eq!(slices.fallbacks().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_predictions(labels: &[u32], predictions: &[u32], classes: usize) -> Result<Self> {
        check_columns(labels, predictions)?;
        let rows = u32::try_from(labels.len()).map_err(|_| Error::TooManyRows { rows: labels.len() })?;

        let mut of_class = vec![Vec::new(); classes];
        let mut anchors = vec![Vec::new(); classes];
        let mut own_negatives = vec![Vec::new(); classes];
        let mut own_positives = vec![Vec::new(); classes];
        let mut errors = Vec::new();
        for ((row, &label), &prediction) in (0..rows).zip(labels).zip(predictions) {
            push(&mut of_class, label, row, "label", classes)?;
            if label == prediction {
                push(&mut anchors, prediction, row, "prediction", classes)?;
            } else {
                push(&mut own_negatives, prediction, row, "prediction", classes)?;
                push(&mut own_positives, label, row, "label", classes)?;
                errors.push(row);
            }
        }
        let Some(&class) = labels.first() else {
            return Err(Error::NoSamples);
        };
        if labels.iter().all(|&label| label == class) {
            return Err(Error::OneClass { class, samples: labels.len() });
        }

        let mut class_starts = vec![0];
        let mut by_class = Vec::with_capacity(labels.len());
        for rows in of_class {
            by_class.extend(rows);
            class_starts.push(by_class.len());
        }
        let slice_of = predictions.to_vec();
        let mut slices = Self {
            slice_of,
            anchors,
            own_negatives,
            own_positives,
            errors,
            by_class,
            class_starts,
            fallbacks: Vec::new(),
        };
        slices.fallbacks = slices.find_fallbacks();
        Ok(slices)
    }

    /// Slices by cluster: each cluster, numbered below `classes`, is the slice of the class that the best one-to-one
    /// assignment gives it. Where that leaves a class in the cluster of another, these samples are negatives there.
    ///
    /// # Errors
    /// As for [`Slices::from_predictions`].
    ///
    /// ```
    /// # fn main() -> cnc_core::Result<()> {
    /// // Cluster 1 is mostly class 0, cluster 0 mostly class 1; rows 2 and 5 are in the other class' cluster.
    /// let slices = cnc_core::Slices::from_clusters(&[0, 0, 0, 1, 1, 1], &[1, 1, 0, 0, 0, 1], 2)?;
    /// assert_eq!(slices.errors(), [2, 5]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_clusters(labels: &[u32], clusters: &[u32], classes: usize) -> Result<Self> {
        let class_of = classes_of_clusters(labels, clusters, classes)?;
        let slices: Vec<u32> = clusters.iter().filter_map(|&cluster| class_of.get(cluster as usize)).copied().collect();
        Self::from_predictions(labels, &slices, classes)
    }

    /// Number of samples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.slice_of.len()
    }

    /// Number of slices, which is the number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.anchors.len()
    }

    /// The slice that a row is in; `None` when there is no such row.
    #[must_use]
    pub fn slice_of(&self, row: u32) -> Option<u32> {
        self.slice_of.get(row as usize).copied()
    }

    /// The samples of `slice` that are of its class; empty when there are none.
    #[must_use]
    pub fn anchors(&self, slice: u32) -> &[u32] {
        list(&self.anchors, slice)
    }

    /// The samples of `slice` that are of another class; where there are none, all samples of other classes.
    #[must_use]
    pub fn negatives(&self, slice: u32) -> Pool<'_> {
        let own = list(&self.own_negatives, slice);
        if !own.is_empty() {
            return Pool { head: own, tail: &[] };
        }
        let (start, end) = self.class_range(slice);
        let head = self.by_class.get(..start).unwrap_or_default();
        let tail = self.by_class.get(end..).unwrap_or_default();
        Pool { head, tail }
    }

    /// The samples of `class` that are in another slice ([`Slices::slice_of`] says which); where there are none, all
    /// samples of the class.
    #[must_use]
    pub fn positives(&self, class: u32) -> &[u32] {
        let own = list(&self.own_positives, class);
        if own.is_empty() { self.of_class(class) } else { own }
    }

    /// The rows predicted wrongly, ascending: the error set of JTT, and where the minority groups should be.
    #[must_use]
    pub fn errors(&self) -> &[u32] {
        &self.errors
    }

    /// Slices that have anchors, ascending: those that contrastive batches can be drawn for.
    #[must_use]
    pub fn with_anchors(&self) -> Vec<u32> {
        (0u32..).zip(&self.anchors).filter(|(_, anchors)| !anchors.is_empty()).map(|(slice, _)| slice).collect()
    }

    /// What deviates from the plain definitions, for the log.
    #[must_use]
    pub fn fallbacks(&self) -> &[Fallback] {
        &self.fallbacks
    }

    /// Counts of each slice and class, before any fall-back, in order.
    #[must_use]
    pub fn counts(&self) -> Vec<SliceCounts> {
        (0u32..)
            .zip(&self.anchors)
            .map(|(slice, anchors)| SliceCounts {
                slice,
                anchors: anchors.len(),
                negatives: list(&self.own_negatives, slice).len(),
                positives: list(&self.own_positives, slice).len(),
            })
            .collect()
    }

    fn of_class(&self, class: u32) -> &[u32] {
        let (start, end) = self.class_range(class);
        self.by_class.get(start..end).unwrap_or_default()
    }

    /// Where a class is in `by_class`; an empty range when there is no such class.
    fn class_range(&self, class: u32) -> (usize, usize) {
        let class = class as usize;
        match (self.class_starts.get(class), self.class_starts.get(class + 1)) {
            (Some(&start), Some(&end)) => (start, end),
            _ => (0, 0),
        }
    }

    fn find_fallbacks(&self) -> Vec<Fallback> {
        let mut found = Vec::new();
        if self.errors.is_empty() {
            found.push(Fallback::NoErrors { samples: self.rows() });
        }
        let counts = self.counts();
        let mut in_use = counts.iter().filter(|counts| counts.samples() > 0);
        if let (Some(only), None) = (in_use.next(), in_use.next()) {
            found.push(Fallback::OneSlice { slice: only.slice, samples: only.samples() });
        }
        for SliceCounts { slice, anchors, negatives, positives } in counts {
            if anchors == 0 {
                found.push(Fallback::SliceWithoutAnchors { slice, samples: negatives });
                continue;
            }
            if negatives == 0 {
                found.push(Fallback::SliceWithoutErrors { slice, negatives: self.negatives(slice).len() });
            }
            if positives == 0 {
                found.push(Fallback::ClassWithoutErrors { class: slice, positives: self.positives(slice).len() });
            }
        }
        found
    }
}

fn check_columns(labels: &[u32], predictions: &[u32]) -> Result<()> {
    let (left, right) = (labels.len(), predictions.len());
    if left == right {
        return Ok(());
    }
    Err(Error::Lengths { left_name: "labels", left, right_name: "predictions", right })
}

fn list(lists: &[Vec<u32>], index: u32) -> &[u32] {
    lists.get(index as usize).map_or(&[], Vec::as_slice)
}

fn push(lists: &mut [Vec<u32>], value: u32, row: u32, column: &'static str, classes: usize) -> Result<()> {
    let list = lists.get_mut(value as usize).ok_or(Error::ClassOutOfRange {
        row: row as usize,
        column,
        value: value.into(),
        classes,
    })?;
    list.push(row);
    Ok(())
}

/// Rows to draw from: two lists in a row, so that "all but one class" needs no list of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool<'a> {
    head: &'a [u32],
    tail: &'a [u32],
}

impl<'a> Pool<'a> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a position.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<u32> {
        self.head.get(index).or_else(|| self.tail.get(index.checked_sub(self.head.len())?)).copied()
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + 'a {
        self.head.iter().chain(self.tail).copied()
    }
}

impl<'a> From<&'a [u32]> for Pool<'a> {
    fn from(rows: &'a [u32]) -> Self {
        Self { head: rows, tail: &[] }
    }
}
