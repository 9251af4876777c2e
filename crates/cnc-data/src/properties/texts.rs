//! Simple measures of texts, and which words are in them.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Origin, Property, Values, numbers};
use crate::Split;

/// Most words that are looked for.
const WORDS: usize = 200;
/// A word is looked for that is in at least one in so many texts, and missing in as many.
const RARE: usize = 50;

pub(super) fn measures(split: &Split) -> Vec<Property> {
    let texts: Vec<&str> = (0..split.len() as u32).map(|row| split.text(row).unwrap_or_default()).collect();
    let rows: Vec<[f64; 4]> = texts.par_iter().map(|text| of(text)).collect();
    let mut properties =
        numbers(["length in words", "share of capitals", "share of digits", "share of punctuation"], &rows);
    let words: Vec<BTreeSet<String>> = texts.par_iter().map(|text| words_of(text)).collect();
    properties.extend(frequent(&words).into_iter().map(|word| Property {
        name: format!("the word {word:?}"),
        origin: Origin::Word,
        values: Values::Categories {
            names: vec!["not there".to_string(), "there".to_string()],
            values: words.iter().map(|words| u32::from(words.contains(&word))).collect(),
        },
    }));
    properties
}

fn of(text: &str) -> [f64; 4] {
    let characters = text.chars().filter(|c| !c.is_whitespace()).count().max(1) as f64;
    let share = |is: fn(char) -> bool| text.chars().filter(|c| is(*c)).count() as f64 / characters;
    let is_punctuation = |c: char| !c.is_alphanumeric() && !c.is_whitespace();
    [text.split_whitespace().count() as f64, share(char::is_uppercase), share(char::is_numeric), share(is_punctuation)]
}

fn words_of(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// The words that are in most texts, of those that are neither rare nor everywhere, in the order of the alphabet.
fn frequent(texts: &[BTreeSet<String>]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in texts.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let least = texts.len().div_ceil(RARE).max(1);
    counts.retain(|_, count| *count >= least && *count + least <= texts.len());
    let mut words: Vec<(&str, usize)> = counts.into_iter().collect();
    words.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then(a.cmp(b)));
    words.truncate(WORDS);
    let mut words: Vec<String> = words.into_iter().map(|(word, _)| word.to_string()).collect();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_measured_by_their_letters() {
        let [words, capitals, digits, punctuation] = of("The 3 CATS, at last!");
        assert_eq!(words, 5.0);
        assert!((capitals - 5.0 / 16.0).abs() < 1e-12 && (digits - 1.0 / 16.0).abs() < 1e-12);
        assert!((punctuation - 2.0 / 16.0).abs() < 1e-12);
        assert_eq!(of(""), [0.0; 4]);
    }

    #[test]
    fn words_that_are_rare_or_everywhere_are_left_out() {
        let texts: Vec<BTreeSet<String>> = (0..100)
            .map(|i| words_of(&format!("the film {} {}", if i % 2 == 0 { "camera" } else { "story" }, i)))
            .collect();
        assert_eq!(frequent(&texts), ["camera", "story"]);
    }
}
