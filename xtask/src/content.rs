//! What a file must look like by its name. Sizes and hashes catch a wrong file where the hub gives them; this catches
//! the web page of a sign-in or a dead mirror where it gives none.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const PARQUET: &[u8] = b"PAR1";
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZIP: &[u8] = b"PK";
/// Bytes at the start that are looked at.
const HEAD: u64 = 512;

/// Refuses a file that is not what its name says.
pub fn check(file: &Path, name: &str) -> Result<()> {
    let mut opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let size = opened.metadata()?.len();
    let mut head = Vec::new();
    Read::by_ref(&mut opened).take(HEAD).read_to_end(&mut head)?;
    let begin = String::from_utf8_lossy(&head).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    let is_page = begin.starts_with("<!doctype html") || begin.starts_with("<html");
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ensure!(!is_page || extension == "html", "{name}: a web page came in place of the file");
    match extension {
        "parquet" => {
            let mut tail = [0; 4];
            opened.seek(SeekFrom::Start(size.saturating_sub(4)))?;
            let complete = opened.read_exact(&mut tail).is_ok() && tail == PARQUET && head.starts_with(PARQUET);
            ensure!(complete, "{name}: not a parquet file, or not all of it (no PAR1 at its start and end)");
        }
        "safetensors" => {
            let header = head.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            let fits = header.is_some_and(|header| header.checked_add(8).is_some_and(|end| end <= size));
            ensure!(fits && head.get(8) == Some(&b'{'), "{name}: not a safetensors file, or not all of it");
        }
        "json" if !begin.starts_with(['{', '[']) => bail!("{name}: not a JSON file"),
        "gz" => ensure!(head.starts_with(GZIP), "{name}: not a gzip file"),
        "zip" => ensure!(head.starts_with(ZIP), "{name}: not a zip file"),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, bytes: &[u8]) -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, bytes).unwrap();
        check(&file, name)
    }

    #[test]
    fn a_web_page_is_no_data_whatever_its_name() {
        for name in ["vocab.txt", "a.parquet", "model.safetensors", "config.json", "images.gz", "metadata.csv"] {
            assert!(checked(name, b"\n<!DOCTYPE html><html></html>").is_err(), "{name}");
        }
        assert!(checked("page.html", b"<html></html>").is_ok());
    }

    #[test]
    fn files_with_a_mark_need_it() {
        assert!(checked("a.parquet", b"PAR1....PAR1").is_ok());
        assert!(checked("a.parquet", b"PAR1....").is_err());
        assert!(checked("a.parquet", b"PA").is_err());
        assert!(checked("m.safetensors", b"\x02\0\0\0\0\0\0\0{}").is_ok());
        assert!(checked("m.safetensors", b"\x09\0\0\0\0\0\0\0{}").is_err());
        assert!(checked("c.json", b" {}").is_ok());
        assert!(checked("i.gz", &[0x1f, 0x8b, 8]).is_ok());
        assert!(checked("metadata.csv", b"a,b\n").is_ok());
    }
}
