//! Which rows there are: the real proportions of the groups at any size.

use anyhow::{Context, Result, ensure};
use cnc_data::{Manifest, SplitName, builtin};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use toml::{Table, Value};

use super::Amount;

/// A row to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub split: SplitName,
    pub class: usize,
    pub attribute: usize,
}

/// All rows, in their order. `mixed`: the splits among each other, as in Waterbirds' table.
pub fn rows(manifest: &Manifest, mixed: bool, amount: &Amount) -> Result<Vec<Planned>> {
    let rng = &mut ChaCha8Rng::seed_from_u64(amount.seed);
    let training = manifest.expected_rows(SplitName::Train).context("the manifest has no number of training rows")?;
    let real = manifest.expected_groups(SplitName::Train).context("the manifest has no numbers of groups")?;
    let attributes = manifest.attributes().len().max(1);
    let size = amount.size.unwrap_or(training);
    ensure!(size >= real.len(), "--size {size} is less than one training row for each of {} groups", real.len());
    let mut rows = Vec::new();
    for split in SplitName::ALL {
        let all = manifest.expected_rows(split).context("the manifest has no number of rows for a split")?;
        let groups = manifest.expected_groups(split).unwrap_or(real);
        let count = ((all * size) as f64 / training as f64).round() as usize;
        let mut of_split = Vec::new();
        for (group, count) in shares(groups, count.max(groups.len())).into_iter().enumerate() {
            let row = Planned { split, class: group / attributes, attribute: group % attributes };
            of_split.extend(std::iter::repeat_n(row, count));
        }
        of_split.shuffle(rng);
        rows.extend(of_split);
    }
    if mixed {
        rows.shuffle(rng);
    }
    Ok(rows)
}

/// `count` split up as `real` is: none is 0, the largest takes what rounding leaves.
fn shares(real: &[usize], count: usize) -> Vec<usize> {
    let total: usize = real.iter().sum();
    let mut shares: Vec<usize> =
        real.iter().map(|part| ((part * count) as f64 / total as f64).round().max(1.0) as usize).collect();
    let sum: usize = shares.iter().sum();
    if let Some(largest) = shares.iter_mut().max() {
        *largest = (*largest + count).saturating_sub(sum).max(1);
    }
    shares
}

/// A manifest for the folder: the built-in one with the authors' layout, and with the numbers and sizes that are here.
pub fn manifest(name: &str, rows: &[Planned], amount: &Amount) -> Result<String> {
    let mut table: Table = builtin::manifest(name).context("no such dataset")?.parse()?;
    let Some(Value::Table(archive)) = table.remove("archive") else { anyhow::bail!("{name} has no other layout") };
    table.remove("source");
    table.insert("name".to_string(), format!("{name}-drawn").into());
    for (key, value) in archive {
        match (table.get_mut(&key), value) {
            // Names stay.
            (Some(Value::Table(own)), Value::Table(value)) if key != "splits" => own.extend(value),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
    if let Some(Value::Table(splits)) = table.get_mut("splits") {
        for split in SplitName::ALL {
            if let Some(Value::Table(rule)) = splits.get_mut(split.as_str()) {
                let count = rows.iter().filter(|row| row.split == split).count();
                rule.insert("rows".to_string(), i64::try_from(count)?.into());
            }
        }
    }
    if let (Some(side), Some(Value::Table(transform))) = (amount.side, table.get_mut("transform")) {
        transform.insert("resize".to_string(), i64::try_from(side)?.into());
        transform.remove("crop");
        transform.remove("augment");
    }
    let head = format!("# Drawn pictures in the place of {name}; seed {}.\n", amount.seed);
    Ok(head + &toml::to_string(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_the_proportions_and_lose_no_group() {
        assert_eq!(shares(&[3498, 184, 56, 1057], 4795), [3498, 184, 56, 1057]);
        assert_eq!(shares(&[3498, 184, 56, 1057], 480), [350, 18, 6, 106]);
        assert_eq!(shares(&[90, 9, 1], 10), [8, 1, 1]);
    }

    #[test]
    fn the_real_size_has_the_real_groups_and_a_small_one_has_all() {
        for name in ["waterbirds", "celeba"] {
            let manifest = Manifest::open(name).unwrap();
            let count = |rows: &[Planned], split, class, attribute| {
                rows.iter().filter(|row| **row == Planned { split, class, attribute }).count()
            };
            let full = rows(&manifest, true, &Amount { size: None, seed: 1, side: None }).unwrap();
            let real = manifest.expected_groups(SplitName::Train).unwrap();
            for (group, expected) in real.iter().enumerate() {
                assert_eq!(count(&full, SplitName::Train, group / 2, group % 2), *expected);
            }
            let small = rows(&manifest, false, &Amount { size: Some(40), seed: 1, side: None }).unwrap();
            for split in SplitName::ALL {
                assert!((0..4).all(|group| count(&small, split, group / 2, group % 2) > 0), "{name} {split}");
            }
            assert_eq!(small, rows(&manifest, false, &Amount { size: Some(40), seed: 1, side: None }).unwrap());
            assert_ne!(small, rows(&manifest, false, &Amount { size: Some(40), seed: 2, side: None }).unwrap());
        }
    }
}
