//! Columns of shares in [0, 1], such as the share of annotators who say a thing of a row, against a threshold.

use super::table::Table;
use crate::DataError;

/// Whether each row has a share of at least `threshold`; `None` where the cell is empty.
pub(crate) fn reach(table: &Table, column: &str, threshold: f64) -> Result<Vec<Option<bool>>, DataError> {
    let compare = |(row, share): (usize, &Option<f64>)| match share {
        None => Ok(None),
        Some(share) if (0.0..=1.0).contains(share) => Ok(Some(*share >= threshold)),
        Some(share) => Err(table.row_error(row, column, format!("{share} is not a share in [0, 1]"))),
    };
    table.numbers(column)?.iter().enumerate().map(compare).collect()
}

/// The same as 1 and 0, of a column that has no empty cell.
pub(crate) fn all_reach(table: &Table, column: &str, threshold: f64) -> Result<Vec<u32>, DataError> {
    let present = |(row, reach): (usize, Option<bool>)| match reach {
        Some(reach) => Ok(u32::from(reach)),
        None => Err(table.row_error(row, column, "is empty; every row needs a share in [0, 1] here".to_string())),
    };
    reach(table, column, threshold)?.into_iter().enumerate().map(present).collect()
}
