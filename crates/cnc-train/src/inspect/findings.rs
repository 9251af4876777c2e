//! What a model's errors go with, by the names of the dataset.

use anyhow::Result;
use cnc_base::seeds::Seeds;
use cnc_core::evaluation::{Association, Contrast, Finding, Interval, Property, find};
use cnc_data::properties::{self, Origin, Values};
use cnc_data::{Dataset, Manifest, SplitName};
use serde::Serialize;

/// The origin of words.
const WORD: &str = "word";
/// Contrasts that are kept of a property.
const KEPT: usize = 5;

/// A property beside the errors, by its names.
#[derive(Debug, Serialize)]
pub(crate) struct Described {
    /// The property.
    pub(crate) property: String,
    /// `attribute`, `column`, `input` or `word`.
    pub(crate) origin: &'static str,
    /// How strongly errors come with it.
    pub(crate) association: Association,
    /// p in the half where it was looked for (Holm over all properties, words apart).
    pub(crate) found: f64,
    /// p in the other half (Holm over what was found); none where it was not found.
    pub(crate) tested: Option<f64>,
    /// Whether it was found in one half and held in the other.
    pub(crate) is_confirmed: bool,
    /// The clearest contrasts: of the half that it was tested in, where it was found.
    pub(crate) contrasts: Vec<Sides>,
}

/// Errors of samples with a value of a property and of those without it, within a class.
#[derive(Debug, Serialize)]
pub(crate) struct Sides {
    /// The class.
    pub(crate) class: String,
    /// The value, in words: a name, or `above 0.4`.
    pub(crate) value: String,
    /// Samples with it.
    pub(crate) with: usize,
    /// How many of them are wrong.
    pub(crate) wrong_with: usize,
    /// Samples without it.
    pub(crate) without: usize,
    /// How many of them are wrong.
    pub(crate) wrong_without: usize,
    /// How much more often the model errs with it.
    pub(crate) difference: Option<f64>,
    /// Its 95 % interval.
    pub(crate) interval: Option<Interval>,
}

/// Look for what errors go with: the attribute, the further columns of the tables, and measures of the inputs.
///
/// # Errors
/// When a table or an image cannot be read.
pub(crate) fn described(
    manifest: &Manifest,
    dataset: &Dataset,
    split: SplitName,
    wrong: &[bool],
    seeds: Seeds,
) -> Result<Vec<Described>> {
    let of = dataset.split(split);
    let mut all = Vec::new();
    if !of.attributes().is_empty() {
        let values = Values::Categories { names: dataset.attributes.clone(), values: of.attributes().to_vec() };
        all.push(("the attribute".to_owned(), "attribute", values));
    }
    for property in dataset.further_columns(manifest, split)?.into_iter().chain(of.measures()?) {
        let properties::Property { name, origin, values, .. } = property;
        let origin = match origin {
            Origin::Column => "column",
            Origin::Word => WORD,
            _ => "input",
        };
        all.push((name, origin, values));
    }
    // Words are many, and ask another question: they do not take from the others what a correction leaves.
    let (words, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, origin, _)| *origin == WORD);
    let mut found = looked_at(dataset, of.labels(), wrong, &others, seeds.purpose("halves"))?;
    found.extend(looked_at(dataset, of.labels(), wrong, &words, seeds.purpose("halves of words"))?);
    found.sort_by_key(|finding| !finding.is_confirmed);
    Ok(found)
}

/// Look for what errors go with among some properties, each with its name and origin.
fn looked_at(
    dataset: &Dataset,
    labels: &[u32],
    wrong: &[bool],
    all: &[(String, &'static str, Values)],
    seeds: Seeds,
) -> Result<Vec<Described>> {
    let taken: Vec<Property<'_>> = all
        .iter()
        .filter_map(|(_, _, values)| match values {
            Values::Numbers(values) => Some(Property::Number(values)),
            Values::Categories { values, .. } => Some(Property::Category(values)),
            _ => None,
        })
        .collect();
    let findings = find(wrong, labels, &taken, &mut seeds.generator())?;
    let in_words = |finding: Finding| {
        let (name, origin, values) = all.get(finding.property)?;
        let contrasts = finding.contrasts.iter().take(KEPT).map(|contrast| sides(dataset, values, contrast)).collect();
        Some(Described {
            property: name.clone(),
            origin,
            is_confirmed: finding.is_confirmed(),
            association: finding.association,
            found: finding.found,
            tested: finding.tested,
            contrasts,
        })
    };
    Ok(findings.into_iter().filter_map(in_words).collect())
}

fn sides(dataset: &Dataset, values: &Values, contrast: &Contrast) -> Sides {
    let value = match values {
        Values::Categories { names, .. } => names.get(contrast.value as usize).cloned().unwrap_or_default(),
        _ => format!("above {:.4}", contrast.value),
    };
    Sides {
        class: super::class_name(dataset, contrast.class),
        value,
        with: contrast.with.count,
        wrong_with: contrast.with.correct,
        without: contrast.without.count,
        wrong_without: contrast.without.correct,
        difference: contrast.difference(),
        interval: contrast.interval(),
    }
}
