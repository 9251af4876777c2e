//! What goes with a model's errors and is no accident of looking at many things: found in one half of the samples, and tested
//! again in the other.

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::association::{Association, Contrast, Errors, Property};
use super::bootstrap::holm;
use crate::draws::shuffled;
use crate::error::Result;

/// The chance of a false alarm among all that is looked at.
const LEVEL: f64 = 0.05;

/// A property beside the errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Place of the property among those given.
    pub property: usize,
    /// How strongly errors come with it, over all samples.
    pub association: Association,
    /// The p-value in the half where it was looked for, corrected for all properties (Holm 1979).
    pub found: f64,
    /// The p-value in the other half, corrected for all that were found; `None` where it was not found.
    pub tested: Option<f64>,
    /// The contrasts behind it. Where it was found they are of the other half alone, in the order in which they are clear in the
    /// half that chose it; else of all samples, the clearest first.
    pub contrasts: Vec<Contrast>,
}

impl Finding {
    /// Whether it was found in one half and held in the other.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.tested.is_some_and(|p| p < LEVEL)
    }
}

/// Looks for properties that errors come with: the confirmed ones first, then by the size of the effect.
///
/// The samples are halved at random within each class, right and wrong ones apart. With properties that have nothing to do with
/// the errors the chance of any finding is below 0.05 x 0.05.
///
/// # Errors
/// When there is not one value a sample, or a number is not finite.
pub fn find(
    wrong: &[bool],
    labels: &[u32],
    properties: &[Property<'_>],
    rng: &mut impl RngCore,
) -> Result<Vec<Finding>> {
    let rows: Vec<u32> = (0..labels.len() as u32).collect();
    let halves = halves(wrong, labels, rng);
    let [first, second] = halves.each_ref().map(|rows| Errors { wrong, labels, rows });
    let all = Errors { wrong, labels, rows: &rows };
    let looked =
        properties.iter().map(|property| Ok(first.association(property, rng)?.p)).collect::<Result<Vec<f64>>>()?;
    let found = holm(&looked);
    let candidates: Vec<usize> =
        found.iter().enumerate().filter(|(_, p)| **p < LEVEL).map(|(place, _)| place).collect();
    let again = |place: &usize| match properties.get(*place) {
        Some(property) if points_the_same_way(&first, &second, property)? => Ok(second.association(property, rng)?.p),
        _ => Ok(1.0),
    };
    let tested = holm(&candidates.iter().map(again).collect::<Result<Vec<f64>>>()?);
    let mut findings = Vec::with_capacity(properties.len());
    for (property, (values, found)) in properties.iter().zip(found).enumerate() {
        let tested = candidates.iter().zip(&tested).find(|(place, _)| **place == property).map(|(_, p)| *p);
        let contrasts = if tested.is_some() { in_order_of(&first, &second, values)? } else { all.contrasts(values)? };
        let association = all.association(values, rng)?;
        findings.push(Finding { property, association, found, tested, contrasts });
    }
    findings.sort_by(|a, b| {
        let effect = b.association.effect.total_cmp(&a.association.effect);
        b.is_confirmed().cmp(&a.is_confirmed()).then(effect)
    });
    Ok(findings)
}

/// Whether the clearest contrast of the one half has the same sign in the other.
fn points_the_same_way(first: &Errors<'_>, second: &Errors<'_>, property: &Property<'_>) -> Result<bool> {
    let (of_first, of_second) = (first.contrasts(property)?, second.contrasts(property)?);
    let Some(clearest) = of_first.first() else { return Ok(false) };
    let is_number = matches!(property, Property::Number(_));
    let same =
        of_second.iter().find(|other| other.class == clearest.class && (is_number || other.value == clearest.value));
    let sign = |contrast: &Contrast| contrast.difference().map(f64::is_sign_positive);
    Ok(same.is_some_and(|other| sign(other) == sign(clearest)))
}

/// The contrasts of the second half, in the order of those of the first.
fn in_order_of(first: &Errors<'_>, second: &Errors<'_>, property: &Property<'_>) -> Result<Vec<Contrast>> {
    let (of_first, of_second) = (first.contrasts(property)?, second.contrasts(property)?);
    Ok(of_first.iter().filter_map(|contrast| counterpart(contrast, &of_second, property)).copied().collect())
}

/// The contrast of the same class and value. The numbers of a half are divided at its own medians.
fn counterpart<'a>(of: &Contrast, others: &'a [Contrast], property: &Property<'_>) -> Option<&'a Contrast> {
    let is_number = matches!(property, Property::Number(_));
    others.iter().find(|other| other.class == of.class && (is_number || other.value == of.value))
}

fn halves(wrong: &[bool], labels: &[u32], rng: &mut impl RngCore) -> [Vec<u32>; 2] {
    let mut parts = std::collections::BTreeMap::<(u32, bool), u32>::new();
    let mut halves = [Vec::new(), Vec::new()];
    for row in shuffled(labels.len() as u32, rng) {
        let of_row = labels.get(row as usize).zip(wrong.get(row as usize));
        let Some((label, wrong)) = of_row else { continue };
        let turn = parts.entry((*label, *wrong)).or_default();
        if let Some(half) = halves.get_mut((*turn % 2) as usize) {
            half.push(row);
        }
        *turn += 1;
    }
    halves
}
