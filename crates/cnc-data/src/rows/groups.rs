//! Groups of rows: each class with each value of the spurious attribute, the ones without rows too.

use super::row::Row;
use crate::manifest::{Attribute, Manifest};

/// The rows of one class with one value of the spurious attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// `class / attribute`, or the class alone where there is no attribute.
    pub name: String,
    /// The class, as an index.
    pub class: u32,
    /// The attribute's value by name; empty where there is no attribute.
    pub attribute: String,
    /// The split's rows in this group, ascending. Possibly none: a group stays listed.
    pub rows: Vec<u32>,
}

/// The two ways in which a split falls into groups.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Those whose accuracies are reported.
    pub(crate) evaluation: Vec<Group>,
    /// Those of training where they are others: each row is in one.
    pub(crate) training: Option<Vec<Group>>,
}

impl Groups {
    /// `labels` and `attributes` of the rows as they are shown, `several` of the rows of files.
    pub(crate) fn new(manifest: &Manifest, labels: &[u32], attributes: &[u32], rows: &[Row]) -> Self {
        let by_attribute = Self::disjoint(manifest.classes(), manifest.attributes(), labels, attributes);
        let Attribute::Several(_) = &manifest.layout.attribute else { return by_attribute };
        let mut overlapping = without_rows(manifest.classes(), &evaluated(manifest));
        for (row, of_file) in (0..).zip(rows) {
            for place in places(manifest, of_file) {
                if let Some(group) = overlapping.get_mut(place) {
                    group.rows.push(row);
                }
            }
        }
        Self { evaluation: overlapping, training: Some(by_attribute.evaluation) }
    }

    /// Every class with every attribute, by name; each row is in one group.
    pub(crate) fn disjoint(classes: &[String], names: &[String], labels: &[u32], attributes: &[u32]) -> Self {
        let mut groups = without_rows(classes, names);
        let per_class = names.len().max(1);
        for (row, label) in (0..).zip(labels) {
            let attribute = attributes.get(row as usize).map_or(0, |attribute| *attribute as usize);
            if let Some(group) = groups.get_mut(*label as usize * per_class + attribute) {
                group.rows.push(row);
            }
        }
        Self { evaluation: groups, training: None }
    }
}

/// The names of all groups of evaluation, in their order.
pub(crate) fn names(manifest: &Manifest) -> Vec<String> {
    without_rows(manifest.classes(), &evaluated(manifest)).into_iter().map(|group| group.name).collect()
}

/// The groups of evaluation that a row is in, as places in their order.
pub(crate) fn places(manifest: &Manifest, row: &Row) -> impl Iterator<Item = usize> {
    let (several, count, one) = match &manifest.layout.attribute {
        Attribute::Several(several) => (row.several, several.columns.len(), None),
        _ => (0, manifest.attributes().len().max(1), Some(row.attribute as usize)),
    };
    let first = row.label as usize * count;
    let has = move |bit: &usize| several >> bit & 1 == 1;
    one.into_iter().chain((0..count.min(32)).filter(has)).map(move |attribute| first + attribute)
}

/// The attributes of evaluation by name.
fn evaluated(manifest: &Manifest) -> Vec<String> {
    match &manifest.layout.attribute {
        Attribute::Several(several) => several.columns.iter().map(|share| share.name.clone()).collect(),
        _ => manifest.attributes().to_vec(),
    }
}

/// All classes with all attributes; with no attribute, the classes.
fn without_rows(classes: &[String], attributes: &[String]) -> Vec<Group> {
    let mut groups = Vec::new();
    for (class, class_name) in (0..).zip(classes) {
        let group = |name, attribute| Group { name, class, attribute, rows: Vec::new() };
        if attributes.is_empty() {
            groups.push(group(class_name.clone(), String::new()));
        }
        groups
            .extend(attributes.iter().map(|attribute| group(format!("{class_name} / {attribute}"), attribute.clone())));
    }
    groups
}
