//! How names in files and names in models differ.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::Head;

/// What `torch.nn.DataParallel` puts in front of every name.
const WRAPPER: &str = "module.";
/// The counter of batch norm's training batches: younger than many files (PyTorch 0.4.1), and of no effect.
const COUNTER: &str = ".num_batches_tracked";

/// The tensors without the prefix of a wrapper that all of them have.
pub(super) fn without_wrapper(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    if !tensors.keys().all(|name| name.starts_with(WRAPPER)) {
        return tensors;
    }
    let short = |(name, tensor): (String, Tensor)| {
        let short = name.strip_prefix(WRAPPER).map(str::to_owned);
        (short.unwrap_or(name), tensor)
    };
    tensors.into_iter().map(short).collect()
}

/// Whether a file's head is for another number of classes than the model's, and fits it otherwise.
pub(super) fn head(classifier: &str, own: &BTreeMap<String, Tensor>, found: &BTreeMap<String, Tensor>) -> Head {
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

/// Puts the model's own head in the place of the file's.
pub(super) fn replace_head(classifier: &str, own: &BTreeMap<String, Tensor>, tensors: &mut BTreeMap<String, Tensor>) {
    for (name, tensor) in own.iter().filter(|(name, _)| is_of(classifier, name)) {
        tensors.insert(name.clone(), tensor.clone());
    }
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
