//! `cargo xtask fetch`: the files of a dataset or a model, from the hub or from a folder, into the hub's cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cnc_data::{Fetched, HubCache, RepositoryKind};
use indicatif::HumanBytes;
use sha2::{Digest, Sha256};

use crate::cache::{RepoFolder, hex};
use crate::connection::{Connection, Described, Failure, Patience, is_commit};
use crate::content;
use crate::listing::{Ask, expand};
use crate::progress::Progress;
use crate::repository::{State, Wanted, WantedFile};
use crate::settings::{Settings, offline};
use crate::transfer::Transfer;
use crate::verify;

pub fn run(given: &str, from: Option<&Path>, force: bool) -> Result<()> {
    for wanted in resolve(given)? {
        let is_extra = wanted.repository.kind == RepositoryKind::Model && wanted.repository.name != given;
        if let (Some(folder), true) = (from, is_extra)
            && !wanted.local(folder, "").is_dir()
        {
            eprintln!(
                "note: the recipe starts from the weights of {name}, which {} does not have: bring them with\n    \
                 cargo xtask fetch {name}",
                folder.display(),
                name = wanted.repository.name
            );
            continue;
        }
        bring(wanted, from, force)?;
    }
    Ok(())
}

fn bring(wanted: Wanted, from: Option<&Path>, force: bool) -> Result<()> {
    let cache = HubCache::from_env();
    let wanted = expand(wanted, &cache, from.map_or(Ask::Hub, Ask::Folder), force)?;
    let again =
        if force { wanted.files.iter().map(|file| file.path.clone()).collect() } else { damaged(&cache, &wanted)? };
    let is_complete = |file: &WantedFile| matches!(wanted.state(&cache, file), State::Here(_) | State::Absent);
    if !again.is_empty() || !wanted.files.iter().all(is_complete) {
        match from {
            Some(folder) => copy(&cache, folder, &wanted)?,
            None if offline() => stay_offline(&cache, &wanted, force)?,
            None => download(&cache, &wanted, &again)?,
        }
    }
    let mut found = 0;
    for file in &wanted.files {
        match wanted.state(&cache, file) {
            State::Here(path) => {
                found += 1;
                println!("{}", path.display());
            }
            State::Damaged(problem) => bail!("{}: {problem}", file.path),
            State::Missing(problem) if file.needed => bail!("{} is still not there: {problem}", file.path),
            State::Missing(_) | State::Absent => {}
        }
    }
    if found == 0 {
        bail!("{} has none of {}", wanted.repository.name, names(&wanted));
    }
    Ok(())
}

/// The files, their sizes and what is here.
pub fn list(given: &str) -> Result<()> {
    let cache = HubCache::from_env();
    let ask = if offline() { Ask::Cache } else { Ask::Hub };
    for wanted in resolve(given)? {
        list_one(&cache, &expand(wanted, &cache, ask, false)?)?;
    }
    Ok(())
}

fn list_one(cache: &HubCache, wanted: &Wanted) -> Result<()> {
    let mut connection = None;
    for file in &wanted.files {
        let (state, size) = match wanted.state(cache, file) {
            State::Here(path) => ("here", Some(path.metadata()?.len())),
            State::Absent => ("not in it", None),
            state => {
                let word = if matches!(state, State::Damaged(_)) { "incomplete" } else { "missing" };
                if offline() {
                    (word, None)
                } else {
                    let connection = match &mut connection {
                        Some(connection) => connection,
                        none => none.insert(Connection::new(Settings::from_env()?)),
                    };
                    match look(connection, wanted, &wanted.repository.revision, file)? {
                        Look::There(described) => (word, described.size),
                        Look::Absent { .. } => ("not in it", None),
                    }
                }
            }
        };
        let size = size.map_or("-".to_string(), |size| HumanBytes(size).to_string());
        println!("{state:<10} {size:>12}  {}", file.path);
    }
    Ok(())
}

/// Re-reads what is here.
pub fn verify(given: &str) -> Result<()> {
    let cache = HubCache::from_env();
    for wanted in resolve(given)? {
        verify::run(&cache, &expand(wanted, &cache, Ask::Cache, false)?)?;
    }
    Ok(())
}

fn resolve(given: &str) -> Result<Vec<Wanted>> {
    let wanted = Wanted::resolve(given)?;
    if wanted.is_empty() {
        println!("{given} needs nothing from the hub");
    }
    Ok(wanted)
}

fn names(wanted: &Wanted) -> String {
    wanted.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ")
}

/// What has lost its end or was changed. A file of another client has no note of its size: it is read once, and noted.
fn damaged(cache: &HubCache, wanted: &Wanted) -> Result<Vec<String>> {
    let folder = RepoFolder::new(cache, &wanted.repository);
    let commit = cache.commit(&wanted.repository);
    let mut damaged = Vec::new();
    for file in &wanted.files {
        let path = &file.path;
        match wanted.state(cache, file) {
            State::Here(found) if folder.fetched(&commit, path).is_none() => {
                match verify::examine(&folder, &commit, path, &found) {
                    Ok(verify::Proof::Hash) => {
                        let blob = found.canonicalize()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        folder.note(&commit, path, &Fetched { size: found.metadata()?.len(), blob })?;
                    }
                    Ok(_) => {}
                    Err(problem) => {
                        eprintln!("{problem:#}; fetching it again");
                        damaged.push(path.clone());
                    }
                }
            }
            State::Damaged(problem) => {
                eprintln!("{path}: {problem}; fetching it again");
                damaged.push(path.clone());
            }
            _ => {}
        }
    }
    Ok(damaged)
}

/// A snapshot out of a local copy of the repository.
fn copy(cache: &HubCache, folder: &Path, wanted: &Wanted) -> Result<()> {
    let mut sources: Vec<(&str, PathBuf, u64)> = Vec::new();
    for file in &wanted.files {
        let path = wanted.local(folder, &file.path);
        match path.metadata() {
            Ok(found) => {
                content::check(&path, &file.path).with_context(|| format!("{} is damaged", path.display()))?;
                sources.push((&file.path, path, found.len()));
            }
            Err(_) if !file.needed => {}
            Err(error) => return Err(error).with_context(|| format!("{} is needed", path.display())),
        }
    }
    if sources.is_empty() {
        bail!("{} has none of {}", wanted.local(folder, "").display(), names(wanted));
    }
    let repo = RepoFolder::new(cache, &wanted.repository);
    let mut stored = Vec::new();
    for (path, source, size) in sources {
        let mut progress = Progress::start(path, size)?;
        stored.push((path, repo.store(&source, |length| progress.add(length))?));
    }
    publish(&repo, wanted, None, &stored)
}

/// A model is used with those of its files that are here; a dataset needs all.
fn stay_offline(cache: &HubCache, wanted: &Wanted, force: bool) -> Result<()> {
    let mut is_usable = false;
    for file in &wanted.files {
        match wanted.state(cache, file) {
            State::Here(_) if !force => is_usable = true,
            State::Absent => {}
            State::Missing(_) if !file.needed => {}
            _ => {
                is_usable = false;
                break;
            }
        }
    }
    if !is_usable {
        bail!("HF_HUB_OFFLINE is set, so nothing is downloaded; unset it, or copy the files with --from DIR");
    }
    Ok(())
}

fn download(cache: &HubCache, wanted: &Wanted, again: &[String]) -> Result<()> {
    let connection = Connection::new(Settings::from_env()?);
    let repo = RepoFolder::new(cache, &wanted.repository);
    // A branch may move between two requests: after the first answer all are of the commit that it names.
    let mut revision = wanted.repository.revision.clone();
    let mut commit = None;
    let mut there = Vec::new();
    let mut absent = Vec::new();
    for file in &wanted.files {
        let (named, described) = match look(&connection, wanted, &revision, file)? {
            Look::There(described) => (described.commit.clone(), Some(described)),
            Look::Absent { commit } => (commit, None),
        };
        if let (None, Some(named)) = (&commit, named) {
            revision.clone_from(&named);
            commit = Some(named);
        }
        match described {
            Some(described) => there.push((file.path.as_str(), described)),
            None => absent.push(file.path.as_str()),
        }
    }
    if there.is_empty() {
        let given = &wanted.given;
        bail!("{given} at {} has none of {}", connection.endpoint(), names(wanted));
    }
    let mut stored = Vec::new();
    for (path, described) in &there {
        let transfer = Transfer {
            connection: &connection,
            folder: &repo,
            url: wanted.url(connection.endpoint(), &revision, path),
            path,
            described,
            again: again.iter().any(|other| other == path),
        };
        let fetched = match already(&repo, &revision, &transfer) {
            Some(fetched) => fetched,
            None => transfer.run()?,
        };
        stored.push((*path, fetched));
    }
    publish(&repo, wanted, commit.as_deref(), &stored)?;
    for path in absent {
        repo.mark_absent(&cache.commit(&wanted.repository), path)?;
    }
    Ok(())
}

/// Where the file system has no links the snapshot has the bytes, and there is no blob.
fn already(repo: &RepoFolder, commit: &str, transfer: &Transfer) -> Option<Fetched> {
    let noted = repo.fetched(commit, transfer.path).filter(|_| !transfer.again)?;
    let found = repo.snapshot(commit, transfer.path).metadata().ok()?;
    let is_it = found.len() == noted.size && transfer.described.etag.as_ref() == Some(&noted.blob);
    is_it.then_some(noted)
}

enum Look {
    There(Described),
    Absent { commit: Option<String> },
}

/// Asks what a file is, as often as it takes.
fn look(connection: &Connection, wanted: &Wanted, revision: &str, file: &WantedFile) -> Result<Look> {
    let url = wanted.url(connection.endpoint(), revision, &file.path);
    let mut patience = Patience::default();
    loop {
        let failure = match connection.describe(&url) {
            Ok(described) => return Ok(Look::There(described)),
            Err(Failure::Missing { entry_only: true, commit, .. }) if !file.needed => {
                return Ok(Look::Absent { commit });
            }
            Err(failure) => failure,
        };
        patience.wait(failure, &|line| eprintln!("{line}")).map_err(Failure::into_error)?;
    }
}

/// Makes the stored blobs the snapshot of a commit; the revision names it once all are there.
fn publish(repo: &RepoFolder, wanted: &Wanted, commit: Option<&str>, stored: &[(&str, Fetched)]) -> Result<()> {
    let revision = &wanted.repository.revision;
    let commit = match commit {
        Some(commit) => commit.to_string(),
        None if is_commit(revision) => revision.clone(),
        None => stand_in(stored),
    };
    for (place, (path, fetched)) in stored.iter().enumerate() {
        let others = stored.iter().skip(place + 1).any(|(_, other)| other.blob == fetched.blob);
        repo.publish(&commit, path, fetched, others)?;
    }
    if commit != *revision {
        repo.refer(revision, &commit)?;
    }
    Ok(())
}

/// A name like a commit's for files whose commit neither a local copy nor a plain mirror tells: equal files have equal
/// names.
fn stand_in(stored: &[(&str, Fetched)]) -> String {
    let mut hash = Sha256::new();
    for (path, fetched) in stored {
        hash.update(format!("{path} {}\n", fetched.blob));
    }
    let mut name = hex(&hash.finalize());
    name.truncate(40);
    name
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cnc_data::HubRepository;

    use super::*;
    use crate::cache::sha256;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    const FILES: [&str; 2] = ["data/train.parquet", "data/test.parquet"];

    fn wanted(revision: &str, files: &[&str]) -> Wanted {
        let repository =
            HubRepository { kind: RepositoryKind::Dataset, name: "owner/name".into(), revision: revision.into() };
        let files = files.iter().map(|path| WantedFile { path: (*path).to_string(), needed: true }).collect();
        Wanted { given: "name".into(), repository, files }
    }

    /// A local copy with two files, and an empty cache.
    fn local_copy() -> (tempfile::TempDir, HubCache) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("datasets/owner/name/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("train.parquet"), "PAR1 train PAR1").unwrap();
        fs::write(data.join("test.parquet"), "PAR1 test PAR1").unwrap();
        let cache = HubCache::new(folder.path().join("cache"));
        (folder, cache)
    }

    #[test]
    fn a_copy_ends_in_the_layout_of_the_hubs_cache() {
        let (folder, cache) = local_copy();
        let wanted = wanted(COMMIT, &FILES);
        copy(&cache, folder.path(), &wanted).unwrap();
        let repository = cache.root().join("datasets--owner--name");
        let hash = sha256(&folder.path().join("datasets/owner/name/data/train.parquet")).unwrap();
        let blob = repository.join("blobs").join(hash);
        assert_eq!(fs::read_to_string(&blob).unwrap(), "PAR1 train PAR1");
        let found = cache.find_in(&wanted.repository, FILES[0]).unwrap();
        assert_eq!(found, repository.join("snapshots").join(COMMIT).join("data/train.parquet"));
        assert_eq!(found.canonicalize().unwrap(), blob.canonicalize().unwrap());
        let left: Vec<_> = fs::read_dir(repository.join("blobs")).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing but the two blobs: {left:?}");
    }

    #[test]
    fn a_branch_is_found_by_its_reference_after_a_copy() {
        let (folder, cache) = local_copy();
        let wanted = wanted("refs/convert/parquet", &FILES);
        copy(&cache, folder.path(), &wanted).unwrap();
        let found = cache.find_in(&wanted.repository, FILES[1]).unwrap();
        assert_eq!(fs::read_to_string(found).unwrap(), "PAR1 test PAR1");
    }

    #[test]
    fn a_copy_without_one_of_the_files_leaves_the_cache_as_it_was() {
        let (folder, cache) = local_copy();
        let wanted = wanted(COMMIT, &["data/train.parquet", "data/other.parquet"]);
        let message = format!("{:#}", copy(&cache, folder.path(), &wanted).unwrap_err());
        assert!(message.contains("data/other.parquet is needed"), "{message}");
        assert!(!cache.root().exists());
    }
}
