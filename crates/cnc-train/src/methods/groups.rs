//! The groups of training samples, for the methods that are told them: taken from the dataset by row.

use anyhow::{Result, bail};
use cnc_data::Split;

use crate::run::Run;

/// The group of each training row, as an index into the split's groups.
///
/// # Errors
/// When a row is in no group or in several.
pub(super) fn training_groups(run: &Run) -> Result<Vec<u32>> {
    groups_of_rows(&run.dataset.train)
}

/// The group of each row of a split, as an index into the split's groups.
///
/// # Errors
/// When a row is in no group or in several.
pub(super) fn groups_of_rows(split: &Split) -> Result<Vec<u32>> {
    let mut of_row: Vec<Option<u32>> = vec![None; split.len()];
    for (index, group) in (0..).zip(split.training_groups()) {
        for row in &group.rows {
            let Some(place) = of_row.get_mut(*row as usize) else { continue };
            if place.replace(index).is_some() {
                bail!(
                    "row {row} of {} is in several groups, `{}` is one of them; expected one group a row for a method that \
                     trains on groups\n  hint: choose a method that needs no group labels (see `cnc-train methods`)",
                    split.name(),
                    group.name
                );
            }
        }
    }
    let rows = (0_u32..).zip(of_row);
    rows.map(|(row, group)| match group {
        Some(group) => Ok(group),
        None => bail!(
            "row {row} of {} is in no group; expected one group a row for a method that trains on groups\n  hint: choose \
             a method that needs no group labels (see `cnc-train methods`)",
            split.name()
        ),
    })
    .collect()
}

/// Sizes of groups that are given by row.
pub(super) fn sizes(groups: &[u32], count: usize) -> Vec<usize> {
    let mut sizes = vec![0; count];
    for group in groups {
        if let Some(size) = sizes.get_mut(*group as usize) {
            *size += 1;
        }
    }
    sizes
}
