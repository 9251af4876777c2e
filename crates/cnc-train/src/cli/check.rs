//! `cnc-train check`: read and decode everything, count, warn, train nothing.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use anyhow::Result;
use clap::Args;
use cnc_data::{DataError, Dataset, Split, SplitName};
use rayon::prelude::*;

use super::open_manifest;
use crate::data::DataSettings;

/// Below this many samples, the accuracy of a group has an interval of more than 40 points.
const FEW: usize = 20;

/// Names that a warning lists.
const LISTED: usize = 6;

/// Which dataset.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train check digits
  cnc-train check my-data/dataset.toml
  cnc-train check celeba --data img/celeba --skip-unreadable")]
pub(super) struct Arguments {
    /// Name of a built-in dataset, or path of a manifest.
    dataset: String,
    /// Seed of splits and colours, where the manifest leaves them to the run.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    data: DataSettings,
}

/// Open the dataset, which reads and decodes every row, and print what is in it.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let manifest = open_manifest(&arguments.dataset)?;
    let dataset = arguments.data.open(manifest, None, arguments.seed)?;
    let splits = [&*dataset.train, &*dataset.validation, &*dataset.test];
    println!("{}: every row was read and decoded", dataset.name);
    for skipped in &dataset.skipped {
        println!("left out of {}: {}", skipped.split, skipped.problem);
    }
    println!("\n{:<24} {:>10} {:>10} {:>10}", "rows", "train", "validation", "test");
    let row =
        |name: &str, counts: [usize; 3]| println!("{name:<24} {:>10} {:>10} {:>10}", counts[0], counts[1], counts[2]);
    row("all", splits.map(Split::len));
    for (index, class) in dataset.classes.iter().enumerate() {
        row(class, splits.map(|split| split.labels().iter().filter(|label| **label as usize == index).count()));
    }
    println!("\n{:<24} {:>10} {:>10} {:>10}", "groups", "train", "validation", "test");
    for (index, group) in dataset.train.groups().iter().enumerate() {
        row(&group.name, splits.map(|split| split.groups().get(index).map_or(0, |group| group.rows.len())));
    }
    println!();
    let mut warnings = few_samples(&dataset);
    warnings.extend(duplicates(&splits)?);
    for warning in &warnings {
        println!("warning: {warning}");
    }
    if warnings.is_empty() {
        println!("nothing to warn of");
    }
    Ok(())
}

/// Warnings of classes and groups that are too small in a split for their accuracy to mean much. Nothing is decoded for
/// them: a training run gives them as well.
pub(super) fn few_samples(dataset: &Dataset) -> Vec<String> {
    let mut warnings = Vec::new();
    for split in [&dataset.train, &dataset.validation, &dataset.test] {
        let name = split.name();
        let of_class = |index: usize| split.labels().iter().filter(|label| **label as usize == index).count();
        let classes: Vec<(&str, usize)> =
            dataset.classes.iter().enumerate().map(|(index, class)| (class.as_str(), of_class(index))).collect();
        let groups: Vec<(&str, usize)> =
            split.groups().iter().map(|group| (group.name.as_str(), group.rows.len())).collect();
        let mut warn = |what: &str, counts: &[(&str, usize)], none: &str| {
            let (empty, few): (Vec<_>, Vec<_>) =
                counts.iter().filter(|(_, count)| *count < FEW).partition(|(_, count)| *count == 0);
            if !empty.is_empty() {
                let names = listed(empty.iter().map(|(name, _)| format!("`{name}`")));
                warnings.push(format!("{what} without any {name} sample{none}: {names}"));
            }
            if !few.is_empty() {
                let names = listed(few.iter().map(|(name, count)| format!("`{name}` {count}")));
                warnings.push(format!("{what} with fewer than {FEW} {name} samples: {names}"));
            }
        };
        warn("classes", &classes, "");
        if !dataset.attributes.is_empty() {
            let none = if name == SplitName::Train { "" } else { ", which are left out of the worst group" };
            warn("groups", &groups, none);
        }
    }
    warnings
}

/// The first names of a list, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut text = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// Warnings of samples that stand in two splits.
fn duplicates(splits: &[&Split; 3]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut first_seen: HashMap<u64, (&Split, u32)> = HashMap::new();
    for split in splits {
        let (mut across, mut example) = (0_usize, None);
        let hash = |row| {
            let mut hasher = DefaultHasher::new();
            split.picture(row)?.pixels.hash(&mut hasher);
            Ok(hasher.finish())
        };
        let hashes: Vec<Result<u64, DataError>> = (0..split.len() as u32).into_par_iter().map(hash).collect();
        for (row, hash) in (0..).zip(hashes) {
            let (earlier, earlier_row) = *first_seen.entry(hash?).or_insert((split, row));
            if earlier.name() != split.name() {
                across += 1;
                example.get_or_insert((earlier.name(), earlier_row, row));
            }
        }
        if let Some((earlier, earlier_row, row)) = example {
            warnings.push(format!(
                "{across} {} samples are equal to samples of another split, for example row {row} to row {earlier_row} of {earlier}",
                split.name()
            ));
        }
    }
    Ok(warnings)
}
