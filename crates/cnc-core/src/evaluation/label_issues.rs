//! Labels that are likely wrong: confident learning.
//!
//! Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021 (arXiv 1911.00068): a
//! sample is counted for another class where the model is at least as sure of that class as it is, on average, of samples with
//! that label. The probabilities have to be of a model that was not trained on the sample.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A label that is likely wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelIssue {
    /// The sample.
    pub row: u32,
    /// Its label.
    pub label: u32,
    /// The class that it is more likely of.
    pub likely: u32,
    /// The probability of the label less that of the likely class, in `[-1, 0)`: the paper's normalised margin.
    pub margin: f64,
    /// Whether the model is at least as sure of the likely class as it is, on average, of samples with that label: what the paper
    /// counts.
    pub is_confident: bool,
}

/// The samples of which the model prefers another class to their labels, those with the largest margin first. `probabilities` has a row of `classes` values for each sample.
///
/// # Errors
/// [`Error::Lengths`] when there are not so many probabilities, [`Error::ClassOutOfRange`] for a label beyond the classes, and
/// [`Error::NotFiniteRow`] for a probability that is none.
pub fn label_issues(probabilities: &[f32], labels: &[u32], classes: usize) -> Result<Vec<LabelIssue>> {
    let (left, right) = (probabilities.len(), labels.len() * classes);
    if left != right || classes == 0 {
        return Err(Error::Lengths { left_name: "probabilities", left, right_name: "labels times classes", right });
    }
    if let Some(place) = probabilities.iter().position(|value| !value.is_finite()) {
        let value = probabilities.get(place).copied().map_or(f64::NAN, f64::from);
        return Err(Error::NotFiniteRow { what: "a probability", row: place / classes, value });
    }
    if let Some(row) = labels.iter().position(|label| *label as usize >= classes) {
        let value = labels.get(row).copied().unwrap_or_default();
        return Err(Error::ClassOutOfRange { column: "label", row, value: i64::from(value), classes });
    }
    let (mut sums, mut counts) = (vec![0.0_f64; classes], vec![0_usize; classes]);
    for (of_row, label) in probabilities.chunks_exact(classes).zip(labels) {
        let at = *label as usize;
        if let (Some(sum), Some(count), Some(own)) = (sums.get_mut(at), counts.get_mut(at), of_row.get(at)) {
            *sum += f64::from(*own);
            *count += 1;
        }
    }
    let threshold = |(sum, count): (&f64, &usize)| if *count > 0 { sum / *count as f64 } else { f64::INFINITY };
    let thresholds: Vec<f64> = sums.iter().zip(&counts).map(threshold).collect();
    let issue = |(row, (of_row, label)): (usize, (&[f32], &u32))| {
        let own = *of_row.get(*label as usize)?;
        let others = of_row.iter().enumerate().filter(|(class, _)| *class != *label as usize);
        let (likely, p) = others.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let is_confident = thresholds.get(likely).is_some_and(|least| f64::from(*p) >= *least);
        let margin = f64::from(own) - f64::from(*p);
        (margin < 0.0).then_some(LabelIssue {
            row: row as u32,
            label: *label,
            likely: likely as u32,
            margin,
            is_confident,
        })
    };
    let mut issues: Vec<LabelIssue> =
        probabilities.chunks_exact(classes).zip(labels).enumerate().filter_map(issue).collect();
    issues.sort_by(|a, b| a.margin.total_cmp(&b.margin));
    Ok(issues)
}
