//! Names of files with gaps, for data that lies in a varying number of files.
//!
//! `*` stands for any characters but `/`; of `{a,b}` the first that leads to a file is taken.

use std::collections::BTreeSet;
use std::path::Path;

/// Whether a name has gaps.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '{'])
}

/// The names of `there` that a pattern stands for, sorted.
///
/// ```
/// use cnc_data::patterns::select;
///
/// let there = ["a/train-1.parquet", "a/train-0.parquet", "a/test.parquet"];
/// assert_eq!(select("{b,a}/train-*.parquet", there), ["a/train-0.parquet", "a/train-1.parquet"]);
/// ```
pub fn select<'a>(pattern: &str, there: impl IntoIterator<Item = &'a str> + Clone) -> Vec<String> {
    for alternative in alternatives(pattern) {
        let matching = |name: &&str| matches(alternative.as_bytes(), name.as_bytes());
        let found: BTreeSet<&str> = there.clone().into_iter().filter(matching).collect();
        if !found.is_empty() {
            return found.into_iter().map(str::to_string).collect();
        }
    }
    Vec::new()
}

/// The files and folders below `root` that a pattern stands for, sorted. What cannot be read has nothing in it.
#[must_use]
pub fn find(root: &Path, pattern: &str) -> Vec<String> {
    alternatives(pattern).iter().map(|name| below(root, name)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn below(root: &Path, pattern: &str) -> Vec<String> {
    let (first, rest) = match pattern.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pattern, None),
    };
    let mut names: Vec<String> = if first.contains('*') {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| matches(first.as_bytes(), name.as_bytes())).collect()
    } else if root.join(first).symlink_metadata().is_ok() {
        vec![first.to_string()]
    } else {
        Vec::new()
    };
    names.sort_unstable();
    match rest {
        None => names,
        Some(rest) => {
            let inside = |name: &String| {
                below(&root.join(name), rest).into_iter().map(|path| format!("{name}/{path}")).collect::<Vec<_>>()
            };
            names.iter().flat_map(inside).collect()
        }
    }
}

/// Numbers of the shards that a list of files named `...-00001-of-00019...` lacks, with one file as an example of the
/// names. `None` where no file is named so, or none lacks.
#[must_use]
pub fn missing_shards(files: &[String]) -> Option<(String, Vec<u32>)> {
    let numbered: Vec<(&String, u32, u32)> =
        files.iter().filter_map(|file| shard(file).map(|(number, count)| (file, number, count))).collect();
    let (example, _, count) = *numbered.first()?;
    let missing: Vec<u32> =
        (0..count).filter(|wanted| !numbered.iter().any(|(_, number, _)| number == wanted)).collect();
    (!missing.is_empty()).then(|| (example.clone(), missing))
}

/// The same for the end of a message.
#[must_use]
pub fn told_missing_shards(files: &[String]) -> Option<String> {
    let (example, missing) = missing_shards(files)?;
    let missing: Vec<String> = missing.iter().map(u32::to_string).collect();
    Some(format!("of the parts that {example} belongs to, these are missing: {}", missing.join(", ")))
}

/// `00001-of-00019` in a name.
fn shard(file: &str) -> Option<(u32, u32)> {
    let (before, after) = file.rsplit_once("-of-")?;
    let digits_before = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = before.get(before.len() - digits_before..)?;
    let count = after.get(..after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len())?;
    Some((number.parse().ok()?, count.parse().ok()?)).filter(|(number, count)| number < count && *count < 100_000)
}

/// A pattern for each choice out of its braces, in their order.
fn alternatives(pattern: &str) -> Vec<String> {
    let parts = pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (choices, after))) = parts else { return vec![pattern.to_string()] };
    choices.split(',').flat_map(|choice| alternatives(&format!("{before}{choice}{after}"))).collect()
}

/// `*` is the only gap here.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let gap = name.iter().take_while(|byte| **byte != b'/').count();
            (0..=gap).any(|length| name.get(length..).is_some_and(|name| matches(rest, name)))
        }
        (Some((wanted, pattern)), Some((found, name))) => wanted == found && matches(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_does_not_leave_its_folder() {
        assert_eq!(select("a/*.txt", ["a/b.txt", "a/b/c.txt", "b.txt", "a/.txt"]), ["a/.txt", "a/b.txt"]);
        assert_eq!(select("*-*-*", ["a-b", "a-b-c", "--"]), ["--", "a-b-c"]);
    }

    #[test]
    fn of_braces_the_first_choice_that_leads_somewhere_is_taken() {
        assert_eq!(select("list.{txt,csv}", ["list.csv", "list.txt"]), ["list.txt"]);
        assert_eq!(select("list.{txt,csv}", ["list.csv"]), ["list.csv"]);
        assert_eq!(select("{a,b}/{c,d}", ["b/d"]), ["b/d"]);
    }

    #[test]
    fn files_on_disk_are_found_as_names_are_selected() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data/train-1", "data/train-0", "default/train-9", "data/test"] {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(find(folder.path(), "{x,d*}/train-*"), ["data/train-0", "data/train-1", "default/train-9"]);
        assert_eq!(find(folder.path(), "{x,data}/train-*"), ["data/train-0", "data/train-1"]);
        assert_eq!(find(folder.path(), "data"), ["data"]);
        assert!(find(folder.path(), "none/*").is_empty());
    }

    #[test]
    fn a_shard_missing_from_the_middle_is_named() {
        let file = |number: u32| format!("x/train-{number:05}-of-00004-abc.parquet");
        assert_eq!(missing_shards(&[file(0), file(1), file(2), file(3)]), None);
        assert_eq!(missing_shards(&[file(0), file(3)]), Some((file(0), vec![1, 2])));
        assert_eq!(missing_shards(&["0000.parquet".to_string()]), None);
    }
}
