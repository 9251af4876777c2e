//! How names in files and names in models differ.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candle_core::Tensor;

use super::Head;

/// The counter of batch norm's training batches: younger than many files (PyTorch 0.4.1), and of no effect.
const COUNTER: &str = ".num_batches_tracked";
/// Parts of names that are looked at as prefixes.
const DEEPEST: usize = 8;
/// Names that a message lists.
const LISTED: usize = 3;

/// The tensors without the prefix that all of them have in common and without which most names are `known`, and that
/// prefix. `may_go` has the last word on each of its parts.
pub(crate) fn without_prefix(
    tensors: BTreeMap<String, Tensor>,
    known: impl Fn(&str) -> bool,
    may_go: impl Fn(&str) -> bool,
) -> (BTreeMap<String, Tensor>, Option<String>) {
    let count = |length: usize| tensors.keys().filter(|name| name.get(length..).is_some_and(&known)).count();
    let mut best = (count(0), 0);
    for length in common(&tensors).take_while(|(part, _)| may_go(part)).map(|(_, length)| length) {
        let found = count(length);
        if found > best.0 {
            best = (found, length);
        }
    }
    let (_, length) = best;
    let prefix = tensors.keys().next().and_then(|name| name.get(..length)).filter(|prefix| !prefix.is_empty());
    let Some(prefix) = prefix.map(str::to_owned) else { return (tensors, None) };
    let short = |(name, tensor): (String, Tensor)| (name.get(length..).unwrap_or(&name).to_owned(), tensor);
    (tensors.into_iter().map(short).collect(), Some(prefix))
}

/// The parts that all names begin with, and where each ends.
fn common(tensors: &BTreeMap<String, Tensor>) -> impl Iterator<Item = (&str, usize)> {
    let first = tensors.keys().next().map_or("", String::as_str);
    let mut start = 0;
    first.match_indices('.').take(DEEPEST).map_while(move |(dot, _)| {
        let (part, end) = (first.get(start..dot)?, dot + 1);
        start = end;
        let prefix = first.get(..end)?;
        tensors.keys().all(|name| name.starts_with(prefix)).then_some((part, end))
    })
}

/// A prefix that some of a file's names have before what is expected, and others do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The prefix, with its point.
    pub prefix: String,
    /// Names that have it before a name that is expected.
    pub found: Vec<String>,
    /// Names that are not known with or without it.
    pub others: Vec<String>,
    /// Tensors of the file.
    pub of: usize,
}

impl Partial {
    /// The prefix behind which most of the `missing` names are found among those that are not known.
    pub(crate) fn find(unknown: &[String], missing: &[String], of: usize) -> Option<Self> {
        let missing: BTreeSet<&str> = missing.iter().map(String::as_str).collect();
        // A counter is never missing; it is known where the statistics beside it are.
        let counts = |name: &str| {
            name.strip_suffix(COUNTER).is_some_and(|layer| missing.contains(format!("{layer}.running_mean").as_str()))
        };
        Self::find_known(unknown, |name| missing.contains(name) || counts(name), of)
    }

    /// The prefix behind which most names are known.
    pub(crate) fn find_known(unknown: &[String], known: impl Fn(&str) -> bool, of: usize) -> Option<Self> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in unknown {
            let ends = name.match_indices('.').take(DEEPEST).map(|(dot, _)| dot + 1);
            for end in ends.filter(|end| name.get(*end..).is_some_and(&known)) {
                *counts.entry(name.get(..end).unwrap_or_default()).or_default() += 1;
            }
        }
        let (prefix, _) = counts.into_iter().max_by_key(|(prefix, count)| (*count, Reverse(prefix.len())))?;
        let has = |name: &&String| name.strip_prefix(prefix).is_some_and(&known);
        let (found, others): (Vec<_>, Vec<_>) = unknown.iter().partition(has);
        let owned = |names: Vec<&String>| names.into_iter().cloned().collect();
        Some(Self { prefix: prefix.to_owned(), found: owned(found), others: owned(others), of })
    }
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, found, others, of } = self;
        let listed = |names: &mut dyn Iterator<Item = &str>| names.take(LISTED).collect::<Vec<_>>().join(", ");
        let with = listed(&mut found.iter().map(String::as_str));
        let without = listed(&mut found.iter().map(|name| name.strip_prefix(prefix).unwrap_or(name)));
        write!(f, "{} of {of} tensors have `{prefix}` before the expected name, and others do not: ", found.len())?;
        write!(f, "found {with}; expected {without}")?;
        if !others.is_empty() {
            write!(f, "; not known with or without it: {}", listed(&mut others.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// Whether a file's head is for another number of classes than the model's, and fits it otherwise; or is not there, where
/// all else that is there is known.
pub(super) fn head(classifier: &str, own: &BTreeMap<String, Tensor>, found: &BTreeMap<String, Tensor>) -> Head {
    if !found.keys().any(|name| is_of(classifier, name)) && found.keys().all(|name| own.contains_key(name)) {
        return Head::Missing;
    }
    let mut other = None;
    for (name, tensor) in own.iter().filter(|(name, _)| is_of(classifier, name)) {
        let Some(found) = found.get(name) else { return Head::Loaded };
        match (tensor.dims(), found.dims()) {
            (own, found) if own == found => {}
            ([_, own @ ..], [classes, found @ ..])
                if own == found && *classes > 0 && other.is_none_or(|other| other == *classes) =>
            {
                other = Some(*classes);
            }
            // Misshapen: for the check of all tensors to say.
            _ => return Head::Loaded,
        }
    }
    other.map_or(Head::Loaded, |classes| Head::LeftOut { classes })
}

/// Puts the model's own head in the place of the file's, and tells how many tensors this had.
pub(super) fn replace_head(
    classifier: &str,
    own: &BTreeMap<String, Tensor>,
    tensors: &mut BTreeMap<String, Tensor>,
) -> usize {
    let head = own.iter().filter(|(name, _)| is_of(classifier, name));
    head.filter(|(name, tensor)| tensors.insert((*name).clone(), (*tensor).clone()).is_some()).count()
}

/// Adds the counters that a file does not have.
pub(super) fn fill_counters(own: &BTreeMap<String, Tensor>, tensors: &mut BTreeMap<String, Tensor>) {
    for (name, counter) in own.iter().filter(|(name, _)| name.ends_with(COUNTER)) {
        tensors.entry(name.clone()).or_insert_with(|| counter.clone());
    }
}

fn is_of(classifier: &str, name: &str) -> bool {
    name.strip_prefix(classifier).is_some_and(|rest| rest.starts_with('.'))
}
