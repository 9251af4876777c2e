//! What is wrong with a manifest, and what several sections can have wrong.

use std::path::{Component, Path};

/// A key and what is wrong with it.
pub(in crate::manifest) struct Fault {
    pub(in crate::manifest) key: String,
    pub(in crate::manifest) problem: String,
}

pub(in crate::manifest) fn fault(key: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault { key: key.into(), problem: problem.into() }
}

/// Refuses a path that leaves the folder it is meant to be in.
pub(in crate::manifest) fn inside(key: &str, path: &str) -> Result<(), Fault> {
    let stays = |component| matches!(component, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(stays) {
        return Err(fault(key, format!("{path:?} must be a plain relative path, without `..`")));
    }
    Ok(())
}

pub(in crate::manifest) fn unique_names(names: &[String], key: &str) -> Result<(), Fault> {
    if names.is_empty() {
        return Err(fault(key, "at least one name is needed"));
    }
    for (i, name) in names.iter().enumerate() {
        if name.trim().is_empty() || names.iter().take(i).any(|earlier| earlier == name) {
            return Err(fault(key, format!("{name:?} is empty or stands twice: each name must tell its value apart")));
        }
    }
    Ok(())
}
