//! Which cluster is which class.

use crate::error::{Error, Result};

/// The class of each cluster, by the assignment of clusters to classes, one to one, under which most samples are in the
/// cluster of their own class. Both are numbered below `classes`. Of equally good assignments the same one is always
/// taken.
///
/// By the Hungarian method (Kuhn 1955) with potentials, in time cubic in the number of classes.
///
/// # Errors
/// [`Error::Lengths`] when there is not one cluster a label, [`Error::ClassOutOfRange`] naming the row.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// // Cluster 1 holds most of class 0, and cluster 0 what is left.
/// assert_eq!(cnc_core::fits::classes_of_clusters(&[0, 0, 0, 1], &[1, 1, 0, 0], 2)?, [1, 0]);
/// # Ok(())
/// # }
/// ```
pub fn classes_of_clusters(labels: &[u32], clusters: &[u32], classes: usize) -> Result<Vec<u32>> {
    let (left, right) = (labels.len(), clusters.len());
    if left != right {
        return Err(Error::Lengths { left_name: "labels", left, right_name: "clusters", right });
    }
    let mut costs = vec![vec![0i64; classes]; classes]; // by cluster, then class: minus the samples in both
    for (row, (&label, &cluster)) in labels.iter().zip(clusters).enumerate() {
        let refuse = |column, value: u32| Error::ClassOutOfRange { row, column, value: value.into(), classes };
        let of_cluster = costs.get_mut(cluster as usize).ok_or_else(|| refuse("cluster", cluster))?;
        *of_cluster.get_mut(label as usize).ok_or_else(|| refuse("label", label))? -= 1;
    }
    Ok(assign(&costs))
}

/// The column of each row of a square matrix such that the sum of their costs is least.
///
/// Rows are added one by one. For each, a shortest augmenting path through reduced costs (cost less the potentials of
/// its row and column, never negative) leads to a free column. Column `size` is an extra one that the path starts from.
fn assign(costs: &[Vec<i64>]) -> Vec<u32> {
    let size = costs.len();
    let mut of_rows = vec![0i64; size];
    let mut of_columns = vec![0i64; size + 1];
    let mut row_of = vec![None; size + 1];
    for row in 0..size {
        row_of[size] = Some(row);
        let mut column = size;
        let mut lengths = vec![i64::MAX; size];
        let mut from = vec![size; size];
        let mut done = vec![false; size + 1];
        while let Some(row) = row_of[column] {
            done[column] = true;
            let mut nearest = (i64::MAX, size);
            for next in (0..size).filter(|&next| !done[next]) {
                let reduced = costs[row][next] - of_rows[row] - of_columns[next];
                if reduced < lengths[next] {
                    lengths[next] = reduced;
                    from[next] = column;
                }
                if lengths[next] < nearest.0 {
                    nearest = (lengths[next], next);
                }
            }
            for at in 0..=size {
                if done[at] {
                    if let Some(row) = row_of[at] {
                        of_rows[row] += nearest.0;
                    }
                    of_columns[at] -= nearest.0;
                } else {
                    lengths[at] -= nearest.0;
                }
            }
            column = nearest.1;
        }
        // Turn the path around: each column on it takes the row of the one before.
        while column != size {
            let before = from[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    let mut columns = vec![0; size];
    for (column, row) in (0u32..).zip(row_of.into_iter().take(size)) {
        if let Some(row) = row {
            columns[row] = column;
        }
    }
    columns
}
