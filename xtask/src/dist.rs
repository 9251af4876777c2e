//! The program as one file for machines without a compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Builds `cnc-train` for this machine's platform or for `target`, without symbols, and puts it into `dist/`.
pub(crate) fn run(target: Option<&str>) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(&root).args(["build", "--release", "--locked", "--package", "cnc-train"]);
    build.args(["--config", "profile.release.strip=true"]);
    build.env("CNC_COMMIT", commit(&root)?);
    let mut built = PathBuf::from("release");
    if let Some(target) = target {
        build.args(["--target", target]);
        built = Path::new(target).join("release");
    }
    ensure!(build.status().context("cargo does not start")?.success(), "the build failed; see above");

    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let file = format!("cnc-train{}", std::env::consts::EXE_SUFFIX);
    let name = format!("cnc-train-{}-{}", env!("CARGO_PKG_VERSION"), target.unwrap_or(std::env::consts::ARCH));
    std::fs::create_dir_all(root.join("dist"))?;
    let to = root.join("dist").join(name + std::env::consts::EXE_SUFFIX);
    let bytes = std::fs::copy(folder.join(built).join(file), &to)?;
    println!("{}: {:.1} MB", to.display(), bytes as f64 / 1e6);
    Ok(())
}

/// The commit that is built, marked where files differ from it.
fn commit(root: &Path) -> Result<String> {
    let described =
        Command::new("git").current_dir(root).args(["describe", "--always", "--dirty", "--exclude=*"]).output();
    let described = described.context("git does not start")?;
    ensure!(described.status.success(), "git names no commit: {}", String::from_utf8_lossy(&described.stderr).trim());
    Ok(String::from_utf8_lossy(&described.stdout).trim().to_string())
}
