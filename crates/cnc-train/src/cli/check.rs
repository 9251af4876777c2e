//! `cnc-train check`: read and decode everything, count, warn, train nothing.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use anyhow::Result;
use clap::Args;
use cnc_data::{DataError, Dataset, Group, HubCache, Split, SplitName};
use rayon::prelude::*;

use super::open_manifest;
use crate::data::DataSettings;
use crate::network::{self, WEIGHTS};
use crate::say::result;

/// Below this many samples, the accuracy of a group has an interval of more than 40 points.
const FEW: usize = 20;

/// Names that a warning lists.
const LISTED: usize = 6;

/// Which dataset.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cnc-train check digits
  cnc-train check my-data/dataset.toml
  cnc-train check celeba --data img/celeba --skip-unreadable
  cnc-train check comments/dataset.toml --tokenizer bert-base-uncased")]
pub(super) struct Arguments {
    /// Name of a built-in dataset, or path of a manifest.
    dataset: String,
    /// Seed of splits and colours, where the manifest leaves them to the run.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    data: DataSettings,
}

/// Open the dataset, which reads and decodes every row, and print what is in it.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let manifest = open_manifest(&arguments.dataset)?;
    let mut data = arguments.data.clone();
    if manifest.is_text() && data.tokenizer.is_none() {
        // That of the weights which the recipe starts from, where they are here.
        let weights = manifest.weights()?.and_then(|weights| HubCache::from_env().find_in(&weights, WEIGHTS).ok());
        data.tokenizer = weights.map(|weights| network::folder(&weights).to_owned());
    }
    let dataset = data.open(manifest, None, arguments.seed)?;
    let splits = [&*dataset.train, &*dataset.validation, &*dataset.test];
    let is_text = dataset.train.text(0).is_some();
    result!("{}: every row was read{}", dataset.name, if is_text { "" } else { " and decoded" });
    for skipped in &dataset.skipped {
        result!("left out of {}: {}", skipped.split, skipped.problem);
    }
    result!("\n{:<24} {:>10} {:>10} {:>10}", "rows", "train", "validation", "test");
    let row =
        |name: &str, counts: [usize; 3]| result!("{name:<24} {:>10} {:>10} {:>10}", counts[0], counts[1], counts[2]);
    row("all", splits.map(Split::len));
    for (index, class) in dataset.classes.iter().enumerate() {
        row(class, splits.map(|split| split.labels().iter().filter(|label| **label as usize == index).count()));
    }
    let groups = |title: &str, of: for<'a> fn(&'a Split) -> &'a [Group]| {
        result!("\n{title:<24} {:>10} {:>10} {:>10}", "train", "validation", "test");
        for (index, group) in of(&dataset.train).iter().enumerate() {
            row(&group.name, splits.map(|split| of(split).get(index).map_or(0, |group| group.rows.len())));
        }
    };
    if dataset.train.groups() == dataset.train.training_groups() {
        groups("groups", Split::groups);
    } else {
        groups("groups of evaluation", Split::groups);
        let none = splits.map(|split| split.len() - covered(split));
        row("in none of them", none);
        result!("groups of evaluation overlap: a row counts in each of its groups");
        groups("groups of training", Split::training_groups);
        result!("groups of training do not overlap: every row is in one");
    }
    if let Some(lengths) = lengths(&splits) {
        result!("\n{:<24} {:>10} {:>10} {:>10}", "tokens of a text", "train", "validation", "test");
        for (name, of) in ["median", "longest"].iter().zip(lengths) {
            row(name, of);
        }
    }
    result!("");
    let mut warnings = few_samples(&dataset);
    warnings.extend(duplicates(&splits)?);
    for warning in &warnings {
        result!("warning: {warning}");
    }
    if warnings.is_empty() {
        result!("nothing to warn of");
    }
    Ok(())
}

/// Rows that are in at least one group of evaluation.
fn covered(split: &Split) -> usize {
    split.groups().iter().flat_map(|group| &group.rows).collect::<HashSet<_>>().len()
}

/// The median and the largest number of tokens in each split, where there are tokens.
fn lengths(splits: &[&Split; 3]) -> Option<[[usize; 3]; 2]> {
    let mut sorted = [const { Vec::new() }; 3];
    for (split, lengths) in splits.iter().zip(&mut sorted) {
        *lengths = (0..split.len() as u32).map(|row| split.tokens(row)).collect::<Option<Vec<usize>>>()?;
        lengths.sort_unstable();
    }
    let at = |place: fn(usize) -> usize| {
        sorted.each_ref().map(|lengths| lengths.get(place(lengths.len())).copied().unwrap_or(0))
    };
    Some([at(|count| count / 2), at(|count| count.saturating_sub(1))])
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
            match split.text(row) {
                Some(text) => text.hash(&mut hasher),
                None => split.picture(row)?.pixels.hash(&mut hasher),
            }
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
