//! What a method needs of the data by the labels that it is told: checked before anything trains.

use anyhow::{Result, bail};
use cnc_data::{Dataset, Split};

use super::{GroupLabels, METHODS, MethodInfo};

impl MethodInfo {
    /// Refuse data without the labels that the method is told, and a split that it is fitted on where a class or a group
    /// has no sample in it.
    ///
    /// # Errors
    /// The message names what is missing, and where.
    pub(crate) fn check(&self, dataset: &Dataset) -> Result<()> {
        let (name, data) = (self.name, &dataset.name);
        if self.is_told_groups() && dataset.attributes.is_empty() {
            let others: Vec<&str> =
                METHODS.iter().filter(|info| !info.is_told_groups()).map(|info| info.name).collect();
            bail!(
                "method `{name}` is told groups, and {data} has none: its manifest names no attribute\n  hint: name one \
                 (`attribute = {{ column = ..., names = [...] }}`), or choose a method that needs no groups: {}",
                others.join(", ")
            );
        }
        match self.groups {
            GroupLabels::None | GroupLabels::Training => Ok(()),
            GroupLabels::ValidationClasses => self.has_classes(dataset),
            GroupLabels::Validation => {
                self.has_classes(dataset)?;
                self.has_groups(dataset)
            }
        }
    }

    fn is_told_groups(&self) -> bool {
        matches!(self.groups, GroupLabels::Training | GroupLabels::Validation)
    }

    fn has_classes(&self, dataset: &Dataset) -> Result<()> {
        match without_sample(&dataset.classes, dataset.validation.labels()) {
            None => Ok(()),
            Some(class) => bail!(
                "method `{}` is fitted on the validation split, which has no sample of class `{class}`\n  hint: put samples \
                 of it into the validation split, or choose a method that is fitted on the training split alone",
                self.name
            ),
        }
    }

    /// A group that is nowhere in the data is none.
    fn has_groups(&self, dataset: &Dataset) -> Result<()> {
        let elsewhere = |index: usize| {
            let rows = |split: &Split| split.training_groups().get(index).map_or(0, |group| group.rows.len());
            rows(&dataset.train) + rows(&dataset.test) > 0
        };
        let groups = dataset.validation.training_groups();
        let empty: Vec<String> = (groups.iter().enumerate())
            .filter(|(index, group)| group.rows.is_empty() && elsewhere(*index))
            .map(|(_, group)| format!("`{}`", group.name))
            .collect();
        if empty.is_empty() {
            return Ok(());
        }
        bail!(
            "method `{}` is fitted on as many samples of every validation group, and there is none of {}\n  hint: put samples of \
             every group into the validation split, or choose another method (see `cnc-train methods`)",
            self.name,
            empty.join(", ")
        )
    }
}

/// The first class without a sample among these labels.
pub(super) fn without_sample<'a>(classes: &'a [String], labels: &[u32]) -> Option<&'a str> {
    let mut named = (0..).zip(classes);
    named.find(|(index, _)| !labels.contains(index)).map(|(_, class)| class.as_str())
}
