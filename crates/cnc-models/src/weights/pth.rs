//! PyTorch's files: a zip archive of a pickle, which describes the tensors, and a file a storage, which has their values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::{Device, Tensor};
use zip::ZipArchive;

use super::pickle::{self, Entry, Problem, TensorEntry};
use crate::error::{Error, Result};

/// Keys of the state dict in a checkpoint that holds more.
const NESTED: [&str; 2] = ["state_dict", "model"];
/// Largest pickle that is read, in bytes: those of large models have some hundred kilobytes.
const LONGEST_PICKLE: u64 = 64 << 20;
/// Tensors may share a storage, but not so that they are many times as large as the file.
const MOST_SHARED: u64 = 4;

type Archive = ZipArchive<BufReader<File>>;

/// All tensors of the state dict in a file.
pub(super) fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let file = File::open(path).map_err(|source| cnc_nn::Error::Read { path: path.to_owned(), source })?;
    tensors(file, device).map_err(|problem| Error::Pickle { path: path.to_owned(), problem })
}

fn tensors(file: File, device: &Device) -> std::result::Result<BTreeMap<String, Tensor>, Problem> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| format!("its archive is damaged: {error}"))?;
    let pickle = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.rsplit('/').next() == Some("data.pkl"))
        .ok_or_else(|| "its archive has no data.pkl".to_owned())?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    let entries = state_dict(pickle::entries(&contents(&mut archive, &pickle, LONGEST_PICKLE)?)?)?;
    let bytes = entries.values().map(|entry| size_of(entry).unwrap_or(u64::MAX));
    if bytes.fold(0, u64::saturating_add) > length.saturating_mul(MOST_SHARED) {
        return Err("its tensors are many times as large as the file".to_owned());
    }
    // Each storage is read once, however many tensors share it.
    let mut by_storage: BTreeMap<&str, Vec<(&String, &TensorEntry)>> = BTreeMap::new();
    for (name, entry) in &entries {
        by_storage.entry(&entry.storage).or_default().push((name, entry));
    }
    let mut tensors = BTreeMap::new();
    for (storage, entries) in by_storage {
        let bytes = contents(&mut archive, &format!("{folder}data/{storage}"), length)?;
        for (name, entry) in entries {
            let tensor = tensor(entry, &bytes, device).map_err(|problem| format!("tensor {name}: {problem}"))?;
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(tensors)
}

/// The tensors of the outermost dictionary, or of the state dict inside it.
fn state_dict(entries: Vec<(String, Entry)>) -> std::result::Result<BTreeMap<String, TensorEntry>, Problem> {
    let nested = entries.iter().find_map(|(key, entry)| match entry {
        Entry::Dict(entries) if NESTED.contains(&key.as_str()) => Some(entries.clone()),
        _ => None,
    });
    let mut tensors = BTreeMap::new();
    for (name, entry) in nested.unwrap_or(entries) {
        match entry {
            Entry::Tensor(tensor) => tensors.insert(name, tensor),
            Entry::Dict(_) => return Err(not_a_tensor(&name, "a dictionary")),
            Entry::Other(kind) => return Err(not_a_tensor(&name, kind)),
        };
    }
    if tensors.is_empty() { Err("it holds no tensor".to_owned()) } else { Ok(tensors) }
}

fn not_a_tensor(name: &str, kind: &str) -> Problem {
    format!("`{name}` is {kind} and no tensor; a state dict is read at the top, or under {}", NESTED.join(" or "))
}

/// A file of the archive, at most `limit` bytes long.
fn contents(archive: &mut Archive, name: &str, limit: u64) -> std::result::Result<Vec<u8>, Problem> {
    let file = archive.by_name(name).map_err(|error| format!("{name} in its archive: {error}"))?;
    let mut bytes = Vec::new();
    // To the end, where the checksum is compared.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name} in its archive: {error}"))?;
    if bytes.len() as u64 > limit { Err(format!("{name} in its archive is too long")) } else { Ok(bytes) }
}

/// Bytes of a tensor's values, unless they are more than can be counted.
fn size_of(entry: &TensorEntry) -> Option<u64> {
    let bytes = entry.dtype.size_in_bytes();
    entry.shape.iter().try_fold(bytes as u64, |count, size| count.checked_mul(*size as u64))
}

/// The values of a tensor, in row-major order, out of those of its storage.
fn tensor(entry: &TensorEntry, storage: &[u8], device: &Device) -> std::result::Result<Tensor, Problem> {
    let TensorEntry { dtype, offset, shape, strides, .. } = entry;
    let outside = || format!("its shape {shape:?}, strides {strides:?} and offset {offset} go beyond its storage");
    if shape.len() != strides.len() {
        return Err(outside());
    }
    let width = dtype.size_in_bytes();
    let bytes = size_of(entry).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(outside)?;
    let values = if bytes == 0 {
        Vec::new()
    } else {
        let mut steps = shape.iter().zip(strides);
        let last = steps.try_fold(*offset, |sum, (size, stride)| sum.checked_add((size - 1).checked_mul(*stride)?));
        let last = last.ok_or_else(outside)?;
        if last >= storage.len() / width || bytes > storage.len() {
            return Err(outside());
        }
        gathered(entry, storage, width, bytes)
    };
    let tensor = Tensor::from_raw_buffer(&values, *dtype, shape, device);
    tensor.map_err(|error| error.to_string())
}

/// The bytes of all values; every index lies within the storage.
fn gathered(entry: &TensorEntry, storage: &[u8], width: usize, bytes: usize) -> Vec<u8> {
    let mut values = Vec::with_capacity(bytes);
    let mut index = vec![0; entry.shape.len()];
    let mut at = entry.offset;
    // Rows of values that lie side by side are copied at once.
    let row = match (entry.shape.last(), entry.strides.last()) {
        (Some(size), Some(1)) => *size,
        _ => 1,
    };
    while values.len() < bytes {
        values.extend_from_slice(storage.get(at * width..(at + row) * width).unwrap_or_default());
        let mut step = row;
        for (dim, (size, stride)) in entry.shape.iter().zip(&entry.strides).enumerate().rev() {
            let Some(position) = index.get_mut(dim) else { break };
            *position += step;
            at += step * stride;
            if *position < *size {
                break;
            }
            at -= *position * stride;
            *position = 0;
            step = 1;
        }
    }
    values
}
