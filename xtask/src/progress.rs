//! Progress of one file: a bar on a terminal, plain lines where the output goes to a file.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const BAR: &str = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})";
/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

pub struct Progress {
    name: String,
    /// On a terminal.
    bar: Option<ProgressBar>,
    size: u64,
    done: u64,
    last_line: Instant,
}

impl Progress {
    /// Of a file of `size` bytes; 0 where that is not known.
    pub fn start(name: &str, size: u64) -> Result<Self> {
        let bar = if stderr().is_terminal() {
            Some(ProgressBar::new(size).with_style(ProgressStyle::with_template(BAR)?).with_message(name.to_string()))
        } else {
            eprintln!("{name}: {}", HumanBytes(size));
            None
        };
        Ok(Self { name: name.to_string(), bar, size, done: 0, last_line: Instant::now() })
    }

    /// So many bytes are here now.
    pub fn at(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_line.elapsed() >= PAUSE => {
                self.last_line = Instant::now();
                eprintln!("{}: {} of {}", self.name, HumanBytes(self.done), HumanBytes(self.size));
            }
            None => {}
        }
    }

    pub fn add(&mut self, bytes: usize) {
        self.at(self.done + bytes as u64);
    }

    /// Something that a person should know meanwhile.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
