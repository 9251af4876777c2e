//! Which rows are in which group.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Which rows of a data set are in which group, in either of the two ways that it is told: as the rows of each group,
/// where groups may overlap, be empty and leave rows out; or as the group of each row.
///
/// ```
/// # fn main() -> cnc_core::Result<()> {
/// use cnc_core::Groups;
/// let groups = Groups::of_rows(&[0, 2, 0], 3)?;
/// assert_eq!(groups.rows(), [vec![0, 2], vec![], vec![1]]);
/// assert_eq!(groups.sizes(), [2, 0, 1]);
/// assert_eq!(groups.by_row()?, [0, 2, 0]);
/// assert_eq!(Groups::new([[0, 1], [1, 2]], 3)?.by_row().map_err(|error| error.to_string()), Err(
///     "row 1 is in groups 0 and 1: expected one group a row".to_owned()
/// ));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    rows: Vec<Vec<u32>>,
    samples: usize,
}

impl Groups {
    /// The rows of each group, of `samples` rows in all.
    ///
    /// # Errors
    /// [`Error::GroupRow`] when a group lists a row that does not exist.
    pub fn new<G: Into<Vec<u32>>>(rows: impl IntoIterator<Item = G>, samples: usize) -> Result<Self> {
        let rows: Vec<Vec<u32>> = rows.into_iter().map(Into::into).collect();
        for (group, listed) in rows.iter().enumerate() {
            if let Some(&row) = listed.iter().find(|&&row| row as usize >= samples) {
                return Err(Error::GroupRow { group, row, rows: samples });
            }
        }
        Ok(Self { rows, samples })
    }

    /// The group of each row, below `count`. Every row is in one group, and groups may have no rows.
    ///
    /// # Errors
    /// [`Error::GroupOutOfRange`] naming the row, [`Error::TooManyRows`] where rows cannot be numbered.
    pub fn of_rows(groups: &[u32], count: usize) -> Result<Self> {
        let samples = groups.len();
        let numbered = u32::try_from(samples).map_err(|_| Error::TooManyRows { rows: samples })?;
        let mut rows = vec![Vec::new(); count];
        for (row, &group) in (0..numbered).zip(groups) {
            let out_of_range = Error::GroupOutOfRange { row: row as usize, group, groups: count };
            rows.get_mut(group as usize).ok_or(out_of_range)?.push(row);
        }
        Ok(Self { rows, samples })
    }

    /// The group of each row.
    ///
    /// # Errors
    /// [`Error::RowInGroups`] when a row is in several groups, else when one is in none.
    pub fn by_row(&self) -> Result<Vec<u32>> {
        let mut of_row = vec![None; self.samples];
        for (group, rows) in (0..).zip(&self.rows) {
            for &row in rows {
                let Some(place) = of_row.get_mut(row as usize) else { continue };
                if let Some(other) = place.replace(group) {
                    return Err(Error::RowInGroups { row: row as usize, groups: vec![other, group] });
                }
            }
        }
        let one = |(row, group): (usize, Option<u32>)| group.ok_or(Error::RowInGroups { row, groups: vec![] });
        of_row.into_iter().enumerate().map(one).collect()
    }

    /// The rows of each group, in the order given.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Number of rows of each group.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        self.rows.iter().map(Vec::len).collect()
    }

    /// Refuses a data set, or its column `name`, of another number of rows.
    pub(crate) fn check_samples(&self, name: &'static str, rows: usize) -> Result<()> {
        if rows == self.samples {
            return Ok(());
        }
        Err(Error::Lengths { left_name: name, left: rows, right_name: "groups", right: self.samples })
    }

    /// Number of rows of the data set, in groups or not.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }
}

/// The rows of each key that has some, by ascending key.
pub(crate) fn rows_by_key(keys: &[u32]) -> Result<Vec<Vec<u32>>> {
    if keys.is_empty() {
        return Err(Error::NoSamples);
    }
    let rows = u32::try_from(keys.len()).map_err(|_| Error::TooManyRows { rows: keys.len() })?;
    let mut pools = BTreeMap::<u32, Vec<u32>>::new();
    for (row, &key) in (0..rows).zip(keys) {
        pools.entry(key).or_default().push(row);
    }
    Ok(pools.into_values().collect())
}
