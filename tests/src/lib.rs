//! Set-up shared by the end-to-end tests: a fresh folder and the real binaries.

#![expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a test that cannot be set up cannot go on")]

pub mod checkpoints;
pub mod hub_server;
pub mod texts;
pub mod traces;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A run of both stages of CNC that takes seconds, into the folder `run`.
pub const SHORT_RUN: &[&str] = &[
    "digits",
    "--limit",
    "400",
    "--out",
    "run",
    "--set",
    "stage1.epochs=2",
    "--set",
    "steps=12",
    "--set",
    "evaluate_every=3",
];

/// A fresh folder to run the binaries in; it is removed at the end of the test.
pub struct Workbench {
    folder: TempDir,
}

impl Default for Workbench {
    fn default() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }
}

impl Workbench {
    /// A new, empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `cnc-train` with these arguments, to be run in the folder, with an empty hub cache.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of("cnc-train", arguments)
    }

    fn command_of(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary(name));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("HF_HOME", self.file("hub-cache"))
            .env_remove("HF_HUB_CACHE");
        command
    }

    /// Run `cnc-train` with these arguments in the folder.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments).output().expect("cnc-train can be started"))
    }

    /// Run `cargo xtask` with these arguments, in the folder and with its cache.
    #[must_use]
    pub fn xtask(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command_of("xtask", arguments).output().expect("xtask can be started"))
    }

    /// Contents of a file in the folder.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A JSON file in the folder.
    #[must_use]
    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

/// What a command ended with.
pub struct Outcome {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Take a process's output apart.
    #[must_use]
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, after checking that the command succeeded.
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Check that the command failed with this exit code and a clean message that has all of these words.
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
    }
}

/// Path of a binary of the workspace, which `cargo test --workspace` builds beside the tests.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(Path::parent).expect("the folder of the build");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: build it with `cargo build --workspace`", path.display());
    path
}
