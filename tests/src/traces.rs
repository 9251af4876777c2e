//! What a training run leaves behind, for comparing a run that was stopped with one that never was.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Everything of a finished run that must not depend on how often it was stopped, and nothing that tells the time.
#[derive(PartialEq)]
pub struct Traces {
    model: Vec<u8>,
    best: Vec<u8>,
    /// What other rules would have chosen, by their files' names.
    alternatives: BTreeMap<String, Vec<u8>>,
    metrics: Vec<u8>,
    events: Vec<Vec<u8>>,
    story: Vec<u8>,
    results: Value,
}

impl Traces {
    /// Read the folder of a finished run.
    #[must_use]
    pub fn of(run: &Path) -> Self {
        let read = |name: &str| std::fs::read(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut results = serde_json::from_slice(&read("results.json")).expect("results.json is JSON");
        forget_measurements(&mut results);
        Self {
            model: read("model.safetensors"),
            best: read("checkpoint/best.safetensors"),
            alternatives: alternatives(&run.join("checkpoint")),
            metrics: read("metrics.jsonl"),
            events: events(&read("events.out.tfevents.cnc-train")),
            story: read("story.json"),
            results,
        }
    }

    /// Names of what differs from another run.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let equal = [
            ("model.safetensors", self.model == other.model),
            ("checkpoint/best.safetensors", self.best == other.best),
            ("checkpoint/best-*.safetensors", self.alternatives == other.alternatives),
            ("metrics.jsonl", self.metrics == other.metrics),
            ("the TensorBoard file", self.events == other.events),
            ("story.json", self.story == other.story),
            ("results.json", self.results == other.results),
        ];
        equal.into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect()
    }
}

/// Forget what no two runs have in common, times and how much memory was held, and on how many threads they ran.
fn forget_measurements(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("duration_s");
            fields.remove("peak_memory_bytes");
            fields.remove("threads");
            fields.values_mut().for_each(forget_measurements);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_measurements),
        _ => {}
    }
}

fn alternatives(checkpoints: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(checkpoints)
        .expect("a run has checkpoints")
        .map(|entry| entry.expect("it can be listed").path());
    let named = files.map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
    let bests = named.filter(|(name, _)| name.starts_with("best-") && name != "best-next.safetensors");
    bests.map(|(name, path)| (name, std::fs::read(path).expect("it can be read"))).collect()
}

/// The records of a TensorBoard file without their times, which only go forward: a u64 of the data's length, four bytes of checksum, the data,
/// which starts with nine bytes of time, and four bytes of checksum.
fn events(file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = file;
    let mut before = 0.0;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<8>().expect("a record has a length");
        let end = 4 + usize::try_from(u64::from_le_bytes(*length)).expect("a record fits in memory");
        // A record begins with the number of the time's field, then eight bytes of it.
        let time = after.get(4 + 1..4 + 9).and_then(|bytes| bytes.try_into().ok()).map(f64::from_le_bytes);
        let time = time.expect("a record has a time");
        assert!(time >= before, "the times of records go back from {before} to {time}");
        before = time;
        records.push(after.get(4 + 9..end).expect("a record is whole").to_vec());
        rest = after.get(end + 4..).expect("a record ends with a checksum");
    }
    records
}

/// Check that every file in the folder of a run is whole, or has a name that says that it is not.
pub fn check_whole(run: &Path) {
    for folder in [run.to_owned(), run.join("checkpoint")] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let whole = match path.extension().and_then(|extension| extension.to_str()) {
                Some("safetensors") => safetensors_is_whole(&bytes),
                Some("json") => serde_json::from_slice::<Value>(&bytes).is_ok(),
                Some("html") => bytes.trim_ascii_end().ends_with(b"</html>"),
                Some("toml" | "txt") => bytes.ends_with(b"\n"),
                // Logs, which a checkpoint says the length of; and what was not finished.
                Some("jsonl" | "cnc-train" | "part") => true,
                None if path.file_name().is_some_and(|name| name == "lock") => true,
                _ => panic!("{} is not a file of a run", path.display()),
            };
            assert!(whole, "{} looks complete and is not: {} bytes", path.display(), bytes.len());
        }
    }
}

/// Eight bytes of the header's length, the header in JSON, and the tensors up to the largest end that it names.
fn safetensors_is_whole(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let Some((header, data)) = rest.split_at_checked(u64::from_le_bytes(*length) as usize) else { return false };
    let Ok(Value::Object(header)) = serde_json::from_slice(header) else { return false };
    let ends = header.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    ends.max().unwrap_or(0) == data.len() as u64
}

/// Names of the unfinished files in the folder of a run.
#[must_use]
pub fn unfinished(run: &Path) -> Vec<String> {
    let folders = [run.to_owned(), run.join("checkpoint")];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".part") || name.starts_with("best-next")).collect()
}
