//! Which of a file's dictionaries is the state dict.

use std::collections::BTreeMap;

use super::pickle::{Entry, Problem, TensorEntry};

/// Keys of the state dict in a checkpoint that holds more, from the first that counts to the last.
const NESTED: [&str; 8] = ["state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params"];

/// The tensors of a state dict, and what a user should know of where they are from.
#[derive(Debug)]
pub(super) struct StateDict {
    pub tensors: BTreeMap<String, TensorEntry>,
    pub note: Option<String>,
}

/// The state dict of a pickle's outermost dictionary.
///
/// It is what stands under `key` where one is given. Else it is the dictionary itself where that holds tensors; else the
/// first of [`NESTED`] that is a dictionary of tensors; else the only dictionary of tensors, whatever its key.
pub(super) fn state_dict(entries: Vec<(String, Entry)>, key: Option<&str>) -> Result<StateDict, Problem> {
    let nested: BTreeMap<&str, usize> = entries.iter().filter_map(tensors_in).collect();
    let chosen = match key {
        Some(key) if nested.contains_key(key) => Some(key),
        Some(key) => return Err(format!("there is no state dict `{key}` in it; {}", those_of(&nested))),
        None if entries.iter().any(|(_, entry)| matches!(entry, Entry::Tensor(_))) => None,
        None => match NESTED.into_iter().find(|key| nested.contains_key(key)) {
            None if nested.len() > 1 => {
                return Err(format!("none of its dictionaries is known to be the model's; {}", those_of(&nested)));
            }
            None => nested.keys().next().copied(),
            found => found,
        },
    };
    let Some(chosen) = chosen.map(str::to_owned) else {
        return Ok(StateDict { tensors: all_tensors(entries)?, note: None });
    };
    let others: Vec<String> = nested
        .iter()
        .filter(|(key, _)| **key != chosen)
        .map(|(key, count)| format!("`{key}` with {count} tensors, which `#{key}` behind the file's name takes"))
        .collect();
    let beside = if others.is_empty() { String::new() } else { format!("; beside it are {}", others.join(", ")) };
    let note = Some(format!("the state dict is that under `{chosen}`{beside}"));
    let found = entries.into_iter().rev().find_map(|(key, entry)| match entry {
        Entry::Dict(entries) if key == chosen => Some(entries),
        _ => None,
    });
    Ok(StateDict { tensors: all_tensors(found.unwrap_or_default())?, note })
}

/// The key of a dictionary that is made of tensors for the most part, and how many these are.
fn tensors_in((key, entry): &(String, Entry)) -> Option<(&str, usize)> {
    let Entry::Dict(entries) = entry else { return None };
    let count = entries.iter().filter(|(_, entry)| matches!(entry, Entry::Tensor(_))).count();
    (2 * count > entries.len()).then_some((key.as_str(), count))
}

fn those_of(nested: &BTreeMap<&str, usize>) -> String {
    if nested.is_empty() {
        return "no dictionary in it holds tensors".to_owned();
    }
    let listed: Vec<String> = nested.iter().map(|(key, count)| format!("`#{key}` ({count} tensors)")).collect();
    format!("name one behind the file's name: {}", listed.join(", "))
}

fn all_tensors(entries: Vec<(String, Entry)>) -> Result<BTreeMap<String, TensorEntry>, Problem> {
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries {
        match entry {
            Entry::Tensor(tensor) => tensors.insert(name, tensor),
            Entry::Dict(_) => return Err(not_a_tensor(&name, "a dictionary")),
            Entry::Other(kind) => return Err(not_a_tensor(&name, &kind)),
        };
    }
    if tensors.is_empty() { Err("it holds no tensor".to_owned()) } else { Ok(tensors) }
}

fn not_a_tensor(name: &str, kind: &str) -> Problem {
    format!("`{name}` is {kind} and no tensor; a state dict is read at the top, or under {}", NESTED.join(" or "))
}
