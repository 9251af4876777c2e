//! The bytes of one file, from the hub to its blob: resumed where a part is here, checked before they get their name.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result, anyhow};
use cnc_data::Fetched;
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use crate::cache::{RepoFolder, hex, replace, write_error};
use crate::connection::{Answer, Connection, Described, Failure, Patience};
use crate::content;
use crate::progress::Progress;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// A file of the hub, and where it goes.
pub struct Transfer<'a> {
    pub connection: &'a Connection,
    pub folder: &'a RepoFolder,
    pub url: String,
    /// In its repository.
    pub path: &'a str,
    pub described: &'a Described,
    /// Also where a blob of this name is here.
    pub again: bool,
}

/// What is in the file of a part.
struct Part {
    file: File,
    length: u64,
    hash: Sha256,
}

impl Transfer<'_> {
    /// Brings the blob; gives its name and size back.
    pub fn run(&self) -> Result<Fetched> {
        if let Some(fetched) = self.here() {
            return Ok(fetched);
        }
        // Without a tag there is no telling whether a part is of the same file: it is not resumed.
        let name = self.described.etag.clone().unwrap_or_else(|| hex(&Sha256::digest(&self.url)));
        let mut progress = Progress::start(self.path, self.described.size.unwrap_or(0))?;
        let waiting = || progress.say(&format!("{}: another program fetches it, waiting for that", self.path));
        let lock = self.folder.lock(&name, waiting)?;
        static TOLD: Once = Once::new();
        if let Some(note) = lock.note() {
            TOLD.call_once(|| progress.say(&format!("note: {note}")));
        }
        // Who had the lock may have brought it.
        if let Some(fetched) = self.here() {
            return Ok(fetched);
        }
        let part = self.folder.part(&name)?;
        if self.again || self.described.etag.is_none() {
            remove(&part)?;
        }
        let fetched = self.fill(&part, &mut progress)?;
        replace(&part, &self.folder.blob(&fetched.blob))?;
        Ok(fetched)
    }

    /// The blob, where it is here already: it got its name once it was complete.
    fn here(&self) -> Option<Fetched> {
        let (Some(blob), Some(size), false) = (&self.described.etag, self.described.size, self.again) else {
            return None;
        };
        let found = fs::metadata(self.folder.blob(blob)).ok()?;
        (found.is_file() && found.len() == size).then(|| Fetched { size, blob: blob.clone() })
    }

    /// Attempts until the part is the file.
    fn fill(&self, part: &Path, progress: &mut Progress) -> Result<Fetched> {
        let mut patience = Patience::default();
        let mut furthest = 0;
        loop {
            let failure = match self.attempt(part, progress) {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            // Only what goes beyond all earlier attempts is progress: a server may start from zero for ever.
            let length = fs::metadata(part).map_or(0, |found| found.len());
            if length > furthest {
                furthest = length;
                patience.renew();
            }
            let goes_on = matches!(failure, Failure::Passing { .. }) && length > 0;
            patience.wait(failure, &|line| progress.say(line)).map_err(|failure| {
                let error = failure.into_error();
                if goes_on { error.context(format!("{length} bytes are kept: run it again to go on")) } else { error }
            })?;
        }
    }

    fn attempt(&self, path: &Path, progress: &mut Progress) -> Result<Fetched, Failure> {
        let mut part = Part::open(path, self.described.size)?;
        let resumed = part.length > 0;
        progress.at(part.length);
        if self.described.size != Some(part.length) {
            let answer = self.connection.get(&self.url, part.length)?;
            let size = self.admit(&answer, &mut part, path)?;
            progress.at(part.length);
            self.receive(answer, &mut part, path, size, progress)?;
        }
        part.file.sync_all().map_err(|error| write_error(error, path, Some(part.length)))?;
        let found = hex(&part.hash.finalize());
        if let Err(error) = self.check(path, &found) {
            remove(path)?;
            // A part of an earlier day may be what is wrong.
            return Err(if resumed { Failure::passing(format!("{error:#}")) } else { error.into() });
        }
        Ok(Fetched { size: part.length, blob: self.described.etag.clone().unwrap_or(found) })
    }

    /// Whether an answer goes on where the part ends; where it starts from zero, so does the part. Gives the size that
    /// the part will have.
    fn admit(&self, answer: &Answer, part: &mut Part, path: &Path) -> Result<Option<u64>, Failure> {
        let url = &answer.url;
        let is_other = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        if is_other(&answer.described.etag, &self.described.etag)
            || is_other(&answer.described.commit, &self.described.commit)
        {
            part.clear(path)?;
            return Err(anyhow!("{url}: the file changed on the hub meanwhile: run it again").into());
        }
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let whole = |whole: Option<u64>| whole.is_none() || whole == self.described.size;
                let goes_on = answer.range.is_some_and(|(first, size)| first == part.length && whole(size));
                if !goes_on || part.length == 0 {
                    part.clear(path)?;
                    return Err(Failure::passing(format!("{url}: the answer is of another part of the file")));
                }
            }
            StatusCode::OK => part.clear(path)?,
            status => {
                part.clear(path)?;
                return Err(Failure::passing(format!("{url}: {status}")));
            }
        }
        let promised = answer.length.map(|length| length + part.length);
        match (self.described.size, promised) {
            (Some(size), Some(promised)) if size != promised => {
                remove(path)?;
                Err(anyhow!("{url}: the file has {promised} bytes, the hub says {size}; nothing of it is kept").into())
            }
            (size, promised) => Ok(size.or(promised)),
        }
    }

    fn receive(
        &self,
        answer: Answer,
        part: &mut Part,
        path: &Path,
        size: Option<u64>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let mut reader = answer.body.into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) => {
                    let problem = format!("{}: the connection broke after {} bytes: {error}", answer.url, part.length);
                    return Err(Failure::passing(problem));
                }
            };
            if size.is_some_and(|size| part.length + length as u64 > size) {
                remove(path)?;
                return Err(anyhow!("{}: more bytes came than the hub says; nothing of it is kept", answer.url).into());
            }
            if let Err(error) = part.add(&chunk[..length]) {
                // Some of the chunk may have been written.
                let written = fs::metadata(path).map_or(part.length, |found| found.len());
                return Err(write_error(error, path, size.map(|size| size.saturating_sub(written))).into());
            }
            progress.add(length);
        }
        match size {
            Some(size) if part.length < size => Err(Failure::passing(format!(
                "{}: the connection ended after {} of {size} bytes",
                answer.url, part.length
            ))),
            _ => Ok(()),
        }
    }

    fn check(&self, part: &Path, found: &str) -> Result<()> {
        if let Some(expected) = self.described.etag.as_ref().filter(|etag| is_sha256(etag))
            && !expected.eq_ignore_ascii_case(found)
        {
            let path = self.path;
            anyhow::bail!("{path}: the bytes have SHA-256 {found}, the hub says {expected}; nothing of it is kept");
        }
        content::check(part, self.path).with_context(|| format!("{}; nothing of it is kept", self.url))
    }
}

impl Part {
    /// What an earlier attempt left, or a new file.
    fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        let context = || format!("opening {}", path.display());
        let file =
            File::options().read(true).append(true).create(true).open(path).map_err(|e| write_error(e, path, size))?;
        let mut part = Self { file, length: 0, hash: Sha256::new() };
        let found = part.file.metadata().with_context(context)?.len();
        if size.is_none_or(|size| found > size) {
            part.clear(path)?;
            return Ok(part);
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = (&mut part.file).take(found - part.length).read(&mut chunk).with_context(context)?;
            if length == 0 {
                return Ok(part);
            }
            part.hash.update(&chunk[..length]);
            part.length += length as u64;
        }
    }

    fn clear(&mut self, path: &Path) -> Result<()> {
        if self.length > 0 || self.file.metadata().is_ok_and(|found| found.len() > 0) {
            self.file.set_len(0).map_err(|error| write_error(error, path, None))?;
        }
        self.length = 0;
        self.hash = Sha256::new();
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The hub tags large files with it; small ones have a shorter tag.
pub fn is_sha256(tag: &str) -> bool {
    tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
