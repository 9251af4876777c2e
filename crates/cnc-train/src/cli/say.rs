//! Lines for people: results on standard output, everything else on standard error.
//!
//! `println!` panics where its reader has gone or its disk is full, and a run that took hours must not end so.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// Why standard output could not be written, the first time.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// A line of results.
macro_rules! result {
    ($($text:tt)*) => { $crate::cli::say::result_line(format_args!($($text)*)) };
}

/// A line about what happens.
macro_rules! note {
    ($($text:tt)*) => { $crate::cli::say::note_line(format_args!($($text)*)) };
}

pub(crate) use {note, result};

/// Writes a line to standard output. A reader that has seen enough is no failure; what is one is told by [`failure`].
pub(crate) fn result_line(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut failure) = FAILURE.lock()
    {
        failure.get_or_insert(error);
    }
}

/// Writes a line to standard error. Where that cannot be written there is nowhere to say so.
pub(crate) fn note_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why results are missing on standard output, if they are.
pub(crate) fn failure() -> Option<io::Error> {
    FAILURE.lock().ok()?.take()
}
