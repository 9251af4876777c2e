//! Bytes as a file, for readers that open one.

use std::path::{Path, PathBuf};

/// A folder of this process.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("cnc-fuzz-{}", std::process::id()))
}

/// Write the bytes to a file in the folder of this process.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).expect("a folder for the input");
    std::fs::write(&path, bytes).expect("room for the input");
    path
}
