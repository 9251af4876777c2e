//! Splits that are drawn: a fraction of another split's rows.

use std::collections::BTreeMap;

use cnc_base::seeds::of_data;
use rand::Rng;
use rand::seq::SliceRandom;

use super::row::Row;
use crate::manifest::{Manifest, Origin, SplitName};

/// Moves random rows of a split to those that are a fraction of it. All keep the order of the files.
pub(super) fn take(manifest: &Manifest, seed: u64, splits: &mut [Vec<Row>; 3]) {
    for (from, of) in SplitName::ALL.into_iter().enumerate() {
        let takers: Vec<(usize, f64)> = (0..)
            .zip(SplitName::ALL)
            .filter_map(|(to, split)| match &manifest.layout.splits.rule(split).from {
                Origin::Fraction { of: source, fraction } if *source == of => Some((to, *fraction)),
                _ => None,
            })
            .collect();
        let Some(rows) = splits.get_mut(from).map(std::mem::take) else { continue };
        let rng = &mut of_data(seed, &format!("fractions of {of}"));
        // For each row the split that takes it.
        let mut owner = vec![from; rows.len()];
        let draw = if manifest.layout.splits.stratify { stratified(&rows, rng) } else { plain(rows.len(), rng) };
        for units in draw {
            let mut units = units.iter().peekable();
            let count: usize = units.clone().map(Vec::len).sum();
            for (place, (to, fraction)) in takers.iter().enumerate() {
                let mut wanted = (count as f64 * fraction).round() as usize;
                // Each split has a row of every class, as long as training keeps one.
                let enough = manifest.layout.splits.stratify && units.len() > takers.len() - place;
                wanted = wanted.max(usize::from(enough));
                let mut taken = 0;
                // A unit that would go further beyond than it is short of stays.
                while let Some(unit) = units.next_if(|unit| taken < wanted && 2 * (wanted - taken) >= unit.len()) {
                    taken += unit.len();
                    unit.iter().for_each(|row| owner[*row] = *to);
                }
            }
        }
        for (row, owner) in rows.into_iter().zip(owner) {
            splits[owner].push(row);
        }
    }
}

/// All rows in a random order, each by itself.
fn plain(count: usize, rng: &mut impl Rng) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(rng);
    vec![order.into_iter().map(|row| vec![row]).collect()]
}

/// For each class its units in an order of which every beginning has its attributes in proportion. A unit is a row, or the rows that
/// stay together; its class is that of most of its rows.
fn stratified(rows: &[Row], rng: &mut impl Rng) -> Vec<Vec<Vec<usize>>> {
    let mut units: BTreeMap<(u32, usize), Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        // Rows of no unit are one each.
        units.entry(row.unit.map_or((u32::MAX, place), |unit| (unit, 0))).or_default().push(place);
    }
    let mut strata: BTreeMap<u32, BTreeMap<[u32; 2], Vec<Vec<usize>>>> = BTreeMap::new();
    for unit in units.into_values() {
        let of = |value: fn(&Row) -> u32| {
            let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
            unit.iter().filter_map(|row| rows.get(*row)).for_each(|row| *counts.entry(value(row)).or_default() += 1);
            counts
                .into_iter()
                .max_by_key(|(value, count)| (*count, std::cmp::Reverse(*value)))
                .map_or(0, |(value, _)| value)
        };
        let (label, group) = (of(|row| row.label), [of(|row| row.attribute), of(|row| row.several)]);
        strata.entry(label).or_default().entry(group).or_default().push(unit);
    }
    strata
        .into_values()
        .map(|groups| {
            let mut order = Vec::new();
            for mut units in groups.into_values() {
                units.shuffle(rng);
                let count = units.len() as f64;
                // Spread evenly over [0, 1]; what is equal is in a random order.
                let placed = units.into_iter().zip(0..).map(|(unit, rank)| ((f64::from(rank) + 0.5) / count, unit));
                order.extend(placed.map(|(place, unit)| (place, rng.random::<u64>(), unit)));
            }
            order.sort_by(|(a, tie_a, _), (b, tie_b, _)| a.total_cmp(b).then(tie_a.cmp(tie_b)));
            order.into_iter().map(|(_, _, unit)| unit).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn row(place: usize, label: u32, attribute: u32, unit: Option<u32>) -> Row {
        Row { file: 0, row: place, label, attribute, several: 0, unit }
    }

    #[test]
    fn every_beginning_of_a_class_has_its_attributes_in_proportion() {
        // 80 rows of one attribute and 20 of the other.
        let rows: Vec<Row> = (0..100).map(|i| row(i, 0, u32::from(i >= 80), None)).collect();
        for seed in 0..5 {
            let order = stratified(&rows, &mut ChaCha8Rng::seed_from_u64(seed));
            for length in [10, 25, 50] {
                let rare = order[0][..length].iter().filter(|unit| unit[0] >= 80).count();
                assert!(rare.abs_diff(length / 5) <= 1, "{rare} of {length}");
            }
        }
    }

    #[test]
    fn rows_of_a_unit_stay_together_and_none_is_lost() {
        let rows: Vec<Row> = (0..60).map(|i| row(i, (i / 5 % 2) as u32, 0, Some((i / 5) as u32))).collect();
        let order = stratified(&rows, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(order.len(), 2);
        let units: Vec<&Vec<usize>> = order.iter().flatten().collect();
        assert!(units.iter().all(|unit| unit.len() == 5 && unit[0] / 5 == unit[4] / 5));
        let mut all: Vec<usize> = units.into_iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>());
    }
}
