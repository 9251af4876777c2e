//! The columns of a dataset's tables that are neither input nor class nor split.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Origin, Property, Values};
use crate::manifest::{Attribute, Manifest};
use crate::survey::written_columns;
use crate::{DataError, Dataset, SplitName};

/// Most different values of a column of categories.
const MOST_CATEGORIES: usize = 50;
/// Most different whole numbers that are taken for codes, of hospitals, cameras, weekdays, and not for amounts.
const MOST_CODES: usize = 20;
/// What a missing value is called.
const EMPTY: &str = "(empty)";

impl Dataset {
    /// The columns of the tables that the rows of a split stand in of which their manifest says nothing: words and few numbers as
    /// categories, other numbers as numbers. Names that differ from row to row are left out, and so is everything in tables that
    /// come with the program or are held by one.
    ///
    /// # Errors
    /// A table that cannot be read any more.
    pub fn further_columns(&self, manifest: &Manifest, split: SplitName) -> Result<Vec<Property>, DataError> {
        let split = self.split(split);
        let Some(sources) = &split.sources else { return Ok(Vec::new()) };
        let used = used_columns(manifest);
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut tables: HashMap<u32, Vec<(String, Vec<String>)>> = HashMap::new();
        let mut names: Option<BTreeSet<String>> = None;
        for (file, path) in sources.paths() {
            let read: Vec<(String, Vec<String>)> =
                written_columns(path)?.into_iter().filter(|(name, _)| !used.contains(&name.as_str())).collect();
            let here: BTreeSet<String> = read.iter().map(|(name, _)| name.clone()).collect();
            // A column counts where all tables have it.
            names = Some(names.map_or(here.clone(), |names| names.intersection(&here).cloned().collect()));
            tables.insert(file, read);
        }
        for (file, row) in (0..split.len() as u32).filter_map(|row| sources.place(row)) {
            for (name, values) in tables.get(&file).into_iter().flatten() {
                if names.as_ref().is_some_and(|names| names.contains(name)) {
                    let value = values.get(row as usize).cloned().unwrap_or_default();
                    columns.entry(name.clone()).or_default().push(value);
                }
            }
        }
        let whole = columns.into_iter().filter(|(_, values)| values.len() == split.len());
        Ok(whole.filter_map(|(name, values)| property(name, &values)).collect())
    }
}

/// The columns that a manifest says the meaning of.
fn used_columns(manifest: &Manifest) -> Vec<&str> {
    let layout = &manifest.layout;
    let mut used = vec![layout.input.column.as_str(), layout.class.column.as_str()];
    used.extend(layout.splits.column.as_deref());
    match &layout.attribute {
        Attribute::Column(attribute) => used.push(&attribute.column),
        Attribute::Several(several) => used.extend(several.columns.iter().map(|column| column.column.as_str())),
        Attribute::None | Attribute::Colour(_) => {}
    }
    used
}

fn property(name: String, written: &[String]) -> Option<Property> {
    let trimmed: Vec<&str> = written.iter().map(|value| value.trim()).collect();
    let different: BTreeSet<&str> = trimmed.iter().copied().collect();
    let filled = || trimmed.iter().copied().filter(|value| !value.is_empty());
    let number = |value: &str| value.parse::<f64>().ok().filter(|number| number.is_finite());
    let numbers: Option<Vec<f64>> = filled().map(number).collect();
    let is_code = different.len() <= MOST_CODES && filled().all(|value| value.parse::<i64>().is_ok());
    let values = match numbers {
        _ if different.len() < 2 => return None,
        Some(numbers) if !is_code && numbers.len() == trimmed.len() => Values::Numbers(numbers),
        // Without a number a sample has no place among them: their quarters, and those without.
        Some(numbers) if !is_code && !numbers.is_empty() => quarters(&trimmed, numbers),
        _ if different.len() <= MOST_CATEGORIES && 2 * different.len() <= trimmed.len() => {
            let places: HashMap<&str, u32> = different.iter().copied().zip(0..).collect();
            let named = |value: &&str| if value.is_empty() { EMPTY.to_string() } else { (*value).to_string() };
            Values::Categories {
                names: different.iter().map(named).collect(),
                values: trimmed.iter().map(|value| places.get(value).copied().unwrap_or_default()).collect(),
            }
        }
        _ => return None,
    };
    Some(Property { name, origin: Origin::Column, values })
}

/// Numbers by the quarter that they are in, and what has none.
fn quarters(written: &[&str], mut numbers: Vec<f64>) -> Values {
    numbers.sort_unstable_by(f64::total_cmp);
    let cut = |quarter: usize| numbers.get(quarter * numbers.len() / 4).copied().unwrap_or_default();
    let cuts = [1, 2, 3].map(cut);
    let place = |value: &&str| match value.parse::<f64>() {
        Ok(number) => cuts.iter().filter(|cut| number >= **cut).count() as u32,
        Err(_) => 4,
    };
    let [first, second, third] = cuts;
    Values::Categories {
        names: vec![
            format!("below {first}"),
            format!("{first} to {second}"),
            format!("{second} to {third}"),
            format!("{third} and above"),
            EMPTY.to_string(),
        ],
        values: written.iter().map(place).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Values> {
        property("column".to_string(), &values.iter().map(|value| (*value).to_string()).collect::<Vec<_>>())
            .map(|property| property.values)
    }

    #[test]
    fn words_and_few_numbers_are_categories_and_others_numbers_or_nothing() {
        let Some(Values::Categories { names, values }) = of(&["b", " a", "", "a", "b", "a"]) else {
            panic!("no categories")
        };
        assert_eq!((names, values), (vec![EMPTY.to_string(), "a".into(), "b".into()], vec![2, 1, 0, 1, 2, 1]));
        assert!(matches!(of(&["1", "0", "1", "0"]), Some(Values::Categories { .. })));
        let many: Vec<String> = (0..40).map(|i| format!("{i}.5")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(of(&many), Some(Values::Numbers(_))));
        many[7] = "";
        let Some(Values::Categories { names, values }) = of(&many) else { panic!("no quarters") };
        assert_eq!((names[4].as_str(), values[7], values[0], values[39]), (EMPTY, 4, 0, 3));
        assert_eq!(of(&["same", "same"]), None);
        assert_eq!(of(&["a.jpg", "b.jpg", "c.jpg"]), None);
    }
}
