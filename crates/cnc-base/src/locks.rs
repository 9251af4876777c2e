//! One process at a time, with a file as its sign.
//!
//! A file is locked with the system's own lock, which goes with the process however it ends. Some file systems have none
//! (Lustre without its option, some of NFS and FUSE): there a file beside it says who has it, and is touched every few
//! seconds. It can be taken over when that stops.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// How often an owner gives a sign of life.
const BEAT: Duration = Duration::from_secs(5);
/// An owner without a sign of life for so long is gone.
const GONE: Duration = Duration::from_secs(60);

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is this process's until it is dropped.
    Locked(Lock),
    /// Another has it: who, as far as that is known.
    Held(String),
}

/// A lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// The system's lock is held as long as the file is open.
    _file: File,
    sign: Option<Sign>,
    why: Option<String>,
}

impl Lock {
    /// What a user should know of a lock that is not the system's.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let (why, sign) = (self.why.as_ref()?, self.sign.as_ref()?);
        Some(format!(
            "the file system has no locks ({why}): {} stands for one; do not start two processes here within the same second",
            sign.path.display()
        ))
    }
}

/// Ask for the lock of the file at this path, which is made where it is not there.
///
/// # Errors
/// When the file, or the sign of a lock beside it, cannot be written.
pub fn try_lock(path: &Path) -> io::Result<Attempt> {
    try_lock_by(path, File::try_lock)
}

fn try_lock_by(path: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> io::Result<Attempt> {
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    match lock(&file) {
        Ok(()) => Ok(Attempt::Locked(Lock { _file: file, sign: None, why: None })),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Held("another process has it".to_owned())),
        // The file is open and can be written: what fails is the lock alone, whatever name the system has for it.
        Err(TryLockError::Error(error)) => Ok(match Sign::put(path, &mut file)? {
            Ok(sign) => Attempt::Locked(Lock { _file: file, sign: Some(sign), why: Some(error.to_string()) }),
            Err(owner) => Attempt::Held(owner),
        }),
    }
}

/// A file that says whose a lock is, touched as long as it is.
#[derive(Debug)]
struct Sign {
    path: PathBuf,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    beats: Option<JoinHandle<()>>,
}

impl Sign {
    /// Put it beside the file to be locked, or say who has put one there.
    fn put(locked: &Path, file: &mut File) -> io::Result<Result<Self, String>> {
        let mut name = locked.as_os_str().to_owned();
        name.push(".owner");
        let path = PathBuf::from(name);
        // The folder is part of it: what was copied with a folder is nobody's.
        let folder = locked.canonicalize()?;
        let owner = format!("process {} on {}, in {}", process::id(), host(), folder.display());
        if let Some(other) = living(&path, &folder, file)? {
            return Ok(Err(other));
        }
        let mut sign = match File::options().create_new(true).write(true).open(&path) {
            Ok(sign) => sign,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(Err("another process has just taken it".to_owned()));
            }
            Err(error) => return Err(error),
        };
        sign.write_all(owner.as_bytes())?;
        let (end, ended) = channel::<()>();
        let beats = thread::spawn(move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that fails is one beat less.
                let _ = sign.rewind().and_then(|()| sign.write_all(owner.as_bytes()));
            }
        });
        Ok(Ok(Self { path, end: Some(end), beats: Some(beats) }))
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        self.end = None;
        if let Some(beats) = self.beats.take() {
            let _ = beats.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// The owner of a sign of life that is recent; one that is not, or that came here with a copied folder, is removed.
fn living(sign: &Path, folder: &Path, file: &mut File) -> io::Result<Option<String>> {
    let (owner, touched) = match fs::read_to_string(sign).and_then(|owner| Ok((owner, sign.metadata()?.modified()?))) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let age = now(file)?.duration_since(touched).unwrap_or_default();
    let is_of_here = owner.is_empty() || owner.ends_with(&format!(", in {}", folder.display()));
    if is_of_here && age < GONE {
        return Ok(Some(format!(
            "{owner} gave a sign of life {} s ago; one that was killed is taken for gone after {} s",
            age.as_secs(),
            GONE.as_secs()
        )));
    }
    match fs::remove_file(sign) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

/// What time it is where the file is, which may be another machine.
fn now(file: &mut File) -> io::Result<SystemTime> {
    file.write_all(b"\n")?;
    file.sync_all()?;
    file.metadata()?.modified()
}

fn host() -> String {
    let of_file = fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    of_file.or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ENOSYS, ENOLCK, EIO and EPERM on Linux.
    const WITHOUT: [i32; 4] = [38, 37, 5, 1];

    fn without(path: &Path, code: i32) -> Attempt {
        try_lock_by(path, |_| Err(TryLockError::Error(io::Error::from_raw_os_error(code)))).unwrap()
    }

    fn locked(attempt: Attempt) -> Lock {
        match attempt {
            Attempt::Locked(lock) => lock,
            Attempt::Held(owner) => panic!("held: {owner}"),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_systems_lock_keeps_others_out_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = locked(try_lock(&path).unwrap());
        assert_eq!(lock.note(), None);
        assert!(matches!(try_lock(&path).unwrap(), Attempt::Held(_)));
        drop(lock);
        locked(try_lock(&path).unwrap());
        assert_eq!(names(folder.path()), ["lock"]);
    }

    #[test]
    fn without_locks_a_sign_of_life_keeps_others_out_and_is_said() {
        for code in WITHOUT {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lock");
            let lock = locked(without(&path, code));
            assert!(lock.note().unwrap().contains("lock.owner stands for one"), "{:?}", lock.note());
            let Attempt::Held(owner) = without(&path, code) else { panic!("two have it") };
            assert!(owner.contains(&format!("process {} on ", process::id())), "{owner}");
            drop(lock);
            locked(without(&path, code));
            assert_eq!(names(folder.path()), ["lock"]);
        }
    }

    #[test]
    fn what_a_killed_process_or_a_copied_folder_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sign) = (folder.path().join("lock"), folder.path().join("lock.owner"));
        fs::write(&path, "").unwrap();
        let here = format!("process 1 on other, in {}", path.canonicalize().unwrap().display());
        fs::write(&sign, &here).unwrap();
        assert!(matches!(without(&path, 38), Attempt::Held(owner) if owner.contains("process 1 on other")));
        let long_ago = SystemTime::now() - 2 * GONE;
        File::options().write(true).open(&sign).unwrap().set_modified(long_ago).unwrap();
        locked(without(&path, 38));
        fs::write(&sign, "process 1 on other, in /elsewhere/lock").unwrap();
        locked(without(&path, 38));
    }
}
