//! Patterns of a manifest as the files that they stand for: asked of the cache, a folder or the hub.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cnc_data::HubCache;
use cnc_data::patterns::{find, is_pattern, missing_shards, select, told_missing_shards};

use crate::connection::{Connection, Failure, Patience};
use crate::repository::{Wanted, WantedFile, is_inside};
use crate::settings::{Settings, offline};

/// Where to ask.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// Only what is in the cache; a pattern without a file stays as it is.
    Cache,
    /// A local copy of repositories.
    Folder(&'a Path),
    /// The hub.
    Hub,
}

/// The wanted files with patterns replaced. What the cache has whole is not asked for elsewhere, unless `again`.
pub fn expand(mut wanted: Wanted, cache: &HubCache, ask: Ask<'_>, again: bool) -> Result<Wanted> {
    let mut listing: Option<Vec<String>> = None;
    let mut files = Vec::new();
    for file in std::mem::take(&mut wanted.files) {
        if !is_pattern(&file.path) {
            files.push(file);
            continue;
        }
        let cached = find(&cache.snapshot(&wanted.repository), &file.path);
        let is_whole = !cached.is_empty() && missing_shards(&cached).is_none();
        let names = match ask {
            _ if is_whole && !again => cached,
            Ask::Cache if cached.is_empty() => vec![file.path.clone()],
            Ask::Cache => cached,
            Ask::Folder(folder) => found(&wanted, &file.path, find(&wanted.local(folder, ""), &file.path), &|| {
                wanted.local(folder, "").display().to_string()
            })?,
            Ask::Hub => {
                let listed = match &mut listing {
                    Some(listed) => listed,
                    none => none.insert(list(&wanted)?),
                };
                let names = select(&file.path, listed.iter().map(String::as_str));
                found(&wanted, &file.path, names, &|| {
                    format!("{} at {}", wanted.repository.name, wanted.repository.revision)
                })?
            }
        };
        files.extend(names.into_iter().map(|path| WantedFile { path, needed: file.needed }));
    }
    wanted.files = files;
    Ok(wanted)
}

/// At least one file, and all parts of what comes in numbered parts.
fn found(wanted: &Wanted, pattern: &str, names: Vec<String>, place: &dyn Fn() -> String) -> Result<Vec<String>> {
    let given = &wanted.given;
    ensure!(!names.is_empty(), "{given}: {} has no file {pattern}", place());
    if let Some(problem) = told_missing_shards(&names) {
        bail!("{given}: {}: {problem}", place());
    }
    Ok(names)
}

/// All files of a repository.
fn list(wanted: &Wanted) -> Result<Vec<String>> {
    if offline() {
        bail!("HF_HUB_OFFLINE is set, so the hub is not asked for its files; unset it, or copy them with --from DIR");
    }
    let connection = Connection::new(Settings::from_env()?);
    let url = wanted.listing_url(connection.endpoint());
    let mut patience = Patience::default();
    let text = loop {
        let failure = match connection.get(&url, 0) {
            Ok(mut answer) => match answer.body.read_to_string() {
                Ok(text) => break text,
                Err(error) => Failure::passing(format!("{}: {error}", answer.url)),
            },
            Err(failure) => failure,
        };
        patience.wait(failure, &|line| eprintln!("{line}")).map_err(Failure::into_error)?;
    };
    names(&text).with_context(|| format!("{url} did not answer with a list of files"))
}

fn names(text: &str) -> Result<Vec<String>> {
    let answer: serde_json::Value = serde_json::from_str(text)?;
    let files = answer.get("siblings").and_then(serde_json::Value::as_array).context("no `siblings`")?;
    let names = files.iter().filter_map(|file| file.get("rfilename")?.as_str()).map(str::to_string);
    // A path out of the repository is no file of it.
    Ok(names.filter(|name| is_inside(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_list_is_read_and_paths_that_leave_it_are_not() {
        let text = r#"{"sha": "0", "siblings": [{"rfilename": "data/a.parquet"}, {"rfilename": "../b"}, {}]}"#;
        assert_eq!(names(text).unwrap(), ["data/a.parquet"]);
        assert!(names("[]").is_err());
        assert!(names("<html>").is_err());
    }
}
