//! `cnc-train check`: read and decode everything, count, warn, train nothing.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use clap::Args;
use cnc_data::{Dataset, Duplicate, Group, HubCache, Split, SplitName};

use super::progress;
use super::say::result;
use crate::config::data::DataSettings;
use crate::config::manifest;
use crate::config::network::{self, WEIGHTS};
use crate::error::told;
use crate::run::data;
use crate::run::opened::few_samples;

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
    let manifest = manifest::open(&arguments.dataset)?;
    let mut settings = arguments.data.clone();
    if manifest.is_text() && settings.tokenizer.is_none() {
        // That of the weights which the recipe starts from, where they are here.
        let weights = manifest.weights()?.and_then(|weights| HubCache::from_env().find_in(&weights, WEIGHTS).ok());
        settings.tokenizer = weights.map(|weights| network::folder(&weights).to_owned());
    }
    let dataset = data::open(&settings, manifest, None, arguments.seed, false, &progress::listener())?;
    let splits = [&*dataset.train, &*dataset.validation, &*dataset.test];
    let is_text = dataset.train.text(0).is_some();
    let all = if dataset.skipped.is_empty() { "every row was read" } else { "every row that can be used was read" };
    result!("{}: {all}{}", dataset.name, if is_text { "" } else { " and decoded" });
    for skipped in &dataset.skipped {
        result!("left out of {}: {}", skipped.split, told(&skipped.problem, skipped.remedy.as_ref()));
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
    let duplicates = dataset.duplicates()?;
    warnings.extend(equal(&dataset, &duplicates.equal));
    warnings.extend(near(&dataset, &duplicates.near));
    warnings.extend(contradicting(&dataset, &duplicates.contradicting));
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

/// Where a sample stands, for whoever wants to see it.
fn place(dataset: &Dataset, (split, row): (SplitName, u32)) -> String {
    dataset
        .split(split)
        .source(row)
        .map_or_else(|| format!("row {row} of {split}"), |source| format!("{source} ({split})"))
}

/// A warning for each split with samples that are in another one.
fn equal(dataset: &Dataset, found: &[Duplicate]) -> Vec<String> {
    let warning = |of_split: &[Duplicate]| {
        let Duplicate { sample, of } = of_split.first()?;
        Some(format!(
            "{} {} {} equal to one of another split, for example {} to {}",
            of_split.len(),
            sample.0,
            if of_split.len() == 1 { "sample is" } else { "samples are" },
            place(dataset, *sample),
            place(dataset, *of)
        ))
    };
    found.chunk_by(|a, b| a.sample.0 == b.sample.0).filter_map(warning).collect()
}

/// A warning for each pair of splits with samples that are nearly the same, with three of them.
fn near(dataset: &Dataset, found: &[Duplicate]) -> Vec<String> {
    let mut pairs: BTreeMap<(SplitName, SplitName), Vec<String>> = BTreeMap::new();
    for Duplicate { sample, of } in found {
        let pair = || format!("{} is like {}", place(dataset, *sample), place(dataset, *of));
        pairs.entry((sample.0, of.0)).or_default().push(pair());
    }
    let warning = |((split, earlier), rows): ((SplitName, SplitName), Vec<String>)| {
        format!(
            "{} {split} samples are nearly samples of {earlier} (scaled, compressed, shifted, or a few words apart): {}; if they belong \
             together, name their column in the manifest: keep_together",
            rows.len(),
            rows.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
        )
    };
    pairs.into_iter().map(warning).collect()
}

/// A warning where equal samples have different classes.
fn contradicting(dataset: &Dataset, found: &[Duplicate]) -> Option<String> {
    let Duplicate { sample, of } = found.first()?;
    Some(format!(
        "{} equal to an earlier one with another class, for example {} and {}: one of the two is wrong",
        if found.len() == 1 { "1 sample is".to_owned() } else { format!("{} samples are", found.len()) },
        place(dataset, *sample),
        place(dataset, *of)
    ))
}
