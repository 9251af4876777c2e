//! The folder of a run: what is in it says how far the run got. `results.json` appears last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use cnc_base::files::write_atomically;
use cnc_base::locks::{Attempt, Lock, try_lock};
use toml::Table;

use super::checkpoint::Checkpoints;
use super::log::{Log, LogLengths};
use crate::config::network::WEIGHTS;
use crate::config::run_config::{RunConfig, without_places};
use crate::error::UsageError;
use crate::record::{CHECKPOINTS, FinishedRun, PREDICTIONS, Results};

/// How far the run in a folder got.
pub(crate) enum FolderState {
    /// It is finished.
    Finished(Box<FinishedRun>),
    /// A part, to go on from.
    Unfinished(RunFolder),
    /// Nothing, or nothing that is whole: the run starts anew.
    Nothing,
}

/// Name of the file that is locked while a process trains in the folder, and how the names of those beside it begin.
const LOCK: &str = "lock";

/// The folder of a run, which no other process trains in meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// It goes when the last one of these does, at the latest with the process.
    lock: Arc<Lock>,
}

/// Locks the folder of a run.
fn lock(path: &Path) -> Result<Arc<Lock>> {
    let file = path.join(LOCK);
    match try_lock(&file).with_context(|| format!("cannot write {}", file.display()))? {
        Attempt::Locked(lock) => Ok(Arc::new(lock)),
        Attempt::Held(owner) => bail!(
            "{} is in use: another process trains in it ({owner})\n  hint: wait for it, or choose another folder with `--out DIR`",
            path.display()
        ),
    }
}

impl RunFolder {
    /// Make the folder of a new run, or open that of an unfinished one.
    ///
    /// # Errors
    /// When the folder holds another run, or `resume` is asked for and there is nothing to resume, or there are other settings
    /// or data; and when another process trains in it.
    pub(crate) fn open(path: &Path, config: &RunConfig, resume: bool) -> Result<Self> {
        let holds = |name: &str| path.join(name).exists();
        let refuse_finished = || -> Result<()> {
            if holds("results.json") {
                bail!(
                    "{} holds a finished run\n  hint: choose another folder with `--out DIR`, or remove that one to run again",
                    path.display()
                );
            }
            Ok(())
        };
        refuse_finished()?;
        match (holds("config.toml"), resume) {
            (true, true) => {
                check_same(path, config)?;
                let folder = Self { path: path.to_owned(), lock: lock(path)? };
                // The process that had the lock may have finished it.
                refuse_finished()?;
                // The data may be in another place now.
                write_atomically(&folder.file("config.toml"), toml::to_string(config)?.as_bytes())?;
                Ok(folder)
            }
            (true, false) => bail!(
                "{} holds a run that was not finished\n  hint: go on with `--resume`, choose another folder with `--out DIR`, or remove that one",
                path.display()
            ),
            (false, true) => bail!("{} holds no run to resume\n  hint: start it without `--resume`", path.display()),
            (false, false) => {
                // What a killed process left of a file is no reason to refuse the folder: it is written over.
                let unfinished = |name: &std::ffi::OsStr| {
                    name.as_encoded_bytes().starts_with(LOCK.as_bytes())
                        || Path::new(name).extension().is_some_and(|e| e == "part")
                };
                if std::fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|e| !unfinished(&e.file_name()))) {
                    bail!(
                        "{} is not empty and holds no run\n  hint: choose another folder with `--out DIR`",
                        path.display()
                    );
                }
                std::fs::create_dir_all(path).with_context(|| {
                    format!("cannot make the run folder {}: choose another one with `--out DIR`", path.display())
                })?;
                let folder = Self { path: path.to_owned(), lock: lock(path)? };
                if holds("config.toml") {
                    bail!(
                        "another process has just started a run in {}\n  hint: choose another folder with `--out DIR`",
                        path.display()
                    );
                }
                write_atomically(&folder.file("config.toml"), toml::to_string(config)?.as_bytes())?;
                Ok(folder)
            }
        }
    }

    /// Look for a run with these settings.
    ///
    /// # Errors
    /// When the folder holds a run with other settings or on other data, or another process trains in it.
    pub(crate) fn state(path: &Path, config: &RunConfig) -> Result<FolderState> {
        if !path.join("config.toml").exists() {
            return Ok(FolderState::Nothing);
        }
        check_same(path, config)?;
        if let Ok(run) = FinishedRun::open(path) {
            let is_read = |name: &&str| cnc_nn::files::read(&path.join(name), &Device::Cpu).is_ok();
            let is_whole = run.results().is_ok() && [WEIGHTS, PREDICTIONS].iter().all(is_read);
            return Ok(if is_whole { FolderState::Finished(Box::new(run)) } else { FolderState::Nothing });
        }
        let folder = Self { path: path.to_owned(), lock: lock(path)? };
        write_atomically(&folder.file("config.toml"), toml::to_string(config)?.as_bytes())?;
        Ok(if folder.checkpoints().are_whole() { FolderState::Unfinished(folder) } else { FolderState::Nothing })
    }

    /// Where the folder is.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a user should know of how it is kept from other processes.
    #[must_use]
    pub(crate) fn note(&self) -> Option<String> {
        self.lock.note()
    }

    /// Path of a file in it.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its checkpoints.
    #[must_use]
    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.file(CHECKPOINTS))
    }

    /// Its log, cut to the lengths that a checkpoint remembers.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(crate) fn log(&self, lengths: LogLengths) -> Result<Log> {
        Log::open(&self.path, lengths)
    }

    /// Write `results.json`: from here on the run is complete.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_results(&self, results: &Results) -> Result<()> {
        let mut text = serde_json::to_string_pretty(results)?;
        text.push('\n');
        write_atomically(&self.file("results.json"), text.as_bytes())?;
        // Best effort: it is of no use any more, and in nobody's way.
        let _ = std::fs::remove_file(self.file(LOCK));
        Ok(())
    }
}

fn check_same(folder: &Path, config: &RunConfig) -> Result<()> {
    let path = folder.join("config.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let before: Table = text.parse().map_err(|e| anyhow!("{}: {e}", path.display()))?;
    let (before, now) = (without_places(before), config.identity()?);
    let mut differing = Vec::new();
    differences(&before, &now, "", &mut differing);
    if differing.is_empty() {
        return Ok(());
    }
    Err(UsageError(format!(
        "other settings or data than {} was started with:\n  {}\n  hint: give the same ones, or start anew with `--out DIR`",
        folder.display(),
        differing.join("\n  ")
    ))
    .into())
}

/// Name each key whose value differs, with both values.
fn differences(before: &Table, now: &Table, path: &str, out: &mut Vec<String>) {
    let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let shown = |value: Option<&toml::Value>| value.map_or("not set".to_owned(), ToString::to_string);
        match (before.get(key), now.get(key)) {
            (Some(toml::Value::Table(before)), Some(toml::Value::Table(now))) => differences(before, now, &name, out),
            (before, now) if before != now => out.push(format!("{name}: {} then, {} now", shown(before), shown(now))),
            _ => {}
        }
    }
}
