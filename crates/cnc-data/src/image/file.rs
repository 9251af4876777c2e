//! Files of images by their names.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// The file at this path, whichever way its letters with accents are written: one letter each (NFC), as most programs
/// write names, or a letter and its accent (NFD), as those of a Mac may come. The path itself where there is no such file.
pub(crate) fn in_any_form(path: &Path) -> PathBuf {
    let Some(text) = path.to_str().filter(|text| !text.is_ascii() && path.symlink_metadata().is_err()) else {
        return path.to_path_buf();
    };
    let forms = [text.nfc().collect::<String>(), text.nfd().collect()].map(PathBuf::from);
    forms.into_iter().find(|form| form.symlink_metadata().is_ok()).unwrap_or_else(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_either_form() {
        let folder = tempfile::tempdir().unwrap();
        let forms = ["\u{e9}t\u{e9}.png", "e\u{301}te\u{301}.png"];
        for (there, asked) in [(forms[0], forms[1]), (forms[1], forms[0])] {
            let file = folder.path().join(there);
            std::fs::write(&file, "").unwrap();
            assert!(in_any_form(&folder.path().join(asked)).is_file());
            assert_eq!(in_any_form(&file), file);
            std::fs::remove_file(&file).unwrap();
            assert_eq!(in_any_form(&folder.path().join(asked)), folder.path().join(asked));
        }
    }
}
