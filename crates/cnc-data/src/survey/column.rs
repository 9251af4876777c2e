//! One column, and what it holds as far as its values show.

use std::collections::HashMap;

use super::images::ImageFiles;

/// Most different values of a column of categories.
const MOST_CATEGORIES: usize = 100;
/// Letters of the longest name of a category.
const LONGEST_NAME: usize = 64;
/// Letters from which a middling value reads as a text.
const SHORTEST_TEXT: usize = 20;

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// Rows without a value.
    pub empty: usize,
}

/// What a column holds.
#[derive(Debug)]
pub enum Holds {
    /// Images: in the table itself, or names of files.
    Images(ImageFiles),
    /// Texts, with the letters of the middle one.
    Texts {
        /// Half of the texts are as long or longer.
        median: usize,
    },
    /// A few values again and again, with their numbers of rows, in the order of the values.
    Categories(Vec<(String, usize)>),
    /// Numbers that are no categories.
    Numbers,
    /// Anything else: names that differ from row to row, lists, dates.
    Other,
}

impl Column {
    /// A column of written values.
    pub(super) fn written(name: String, values: &[String]) -> Self {
        let filled: Vec<&str> = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
        let empty = values.len() - filled.len();
        Self { name, holds: holds(&filled), empty }
    }

    /// The values and their numbers of rows, where it holds categories.
    #[must_use]
    pub fn categories(&self) -> Option<&[(String, usize)]> {
        match &self.holds {
            Holds::Categories(values) => Some(values),
            _ => None,
        }
    }
}

fn holds(values: &[&str]) -> Holds {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let is_short = values.iter().all(|value| value.chars().count() <= LONGEST_NAME);
    let is_number = values.iter().all(|value| value.parse::<f64>().is_ok());
    let is_broken = is_number && values.iter().any(|value| value.parse::<i64>().is_err());
    if !counts.is_empty()
        && counts.len() <= MOST_CATEGORIES
        && 2 * counts.len() <= values.len()
        && is_short
        && !is_broken
    {
        let mut counts: Vec<(String, usize)> =
            counts.into_iter().map(|(value, count)| (value.to_string(), count)).collect();
        let number = |value: &str| value.parse::<i64>().ok();
        counts.sort_by(|(a, _), (b, _)| (number(a), a).cmp(&(number(b), b)));
        return Holds::Categories(counts);
    }
    if is_number {
        return Holds::Numbers;
    }
    let mut lengths: Vec<usize> = values.iter().map(|value| value.chars().count()).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let has_words = 2 * values.iter().filter(|value| value.contains(char::is_whitespace)).count() > values.len();
    if has_words && median >= SHORTEST_TEXT { Holds::Texts { median } } else { Holds::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Holds {
        holds(values)
    }

    #[test]
    fn values_that_come_again_are_categories_in_the_order_of_numbers() {
        let Holds::Categories(values) = of(&["10", "2", "10", "2", "2"]) else { panic!("no categories") };
        assert_eq!(values, [("2".to_string(), 3), ("10".to_string(), 2)]);
        assert!(matches!(of(&["a", "b", "a", "b"]), Holds::Categories(_)));
    }

    #[test]
    fn broken_numbers_names_and_texts_are_told_apart() {
        assert!(matches!(of(&["0.5", "0.5", "1.0", "1.0"]), Holds::Numbers));
        assert!(matches!(of(&["p1", "p2", "p3"]), Holds::Other));
        let texts =
            ["a lovely film with a slow start", "broke after two days of use, sadly", "a third one of the kind"];
        assert!(matches!(of(&texts), Holds::Texts { median } if median > 20));
        assert!(matches!(of(&[]), Holds::Numbers | Holds::Other));
    }
}
