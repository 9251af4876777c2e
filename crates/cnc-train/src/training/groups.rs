//! The groups of training samples, for the methods that are told them: taken from the dataset by row.

use anyhow::{Result, bail};
use cnc_data::Split;

use super::evaluate::groups_of;
use super::trainer::Trainer;

/// The group of each training row, as an index into the split's groups.
///
/// # Errors
/// When a row is in no group or in several.
pub fn training_groups(trainer: &Trainer) -> Result<Vec<u32>> {
    groups_of_rows(&trainer.dataset.train)
}

/// The group of each row of a split, as an index into the split's groups.
///
/// # Errors
/// When a row is in no group or in several.
pub(crate) fn groups_of_rows(split: &Split) -> Result<Vec<u32>> {
    let groups = split.training_groups();
    let wrong = match groups_of(groups, split.len())?.by_row() {
        Err(cnc_core::Error::RowInGroups { row, groups: of_row }) => {
            let one = of_row.last().and_then(|index| groups.get(*index as usize));
            let found = one.map_or_else(
                || "in no group".to_owned(),
                |group| format!("in several groups, `{}` is one of them", group.name),
            );
            format!("row {row} of {} is {found}", split.name())
        }
        other => return Ok(other?),
    };
    bail!(
        "{wrong}; expected one group a row for a method that trains on groups\n  hint: choose a method that needs no group \
         labels (see `cnc-train methods`)"
    )
}
