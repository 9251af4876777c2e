//! PyTorch's files: a zip archive of a pickle, which describes the tensors, and a file a storage, which has their values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use super::Read as Found;
use super::chosen::{StateDict, state_dict};
use super::pickle::{self, Format, Problem, TensorEntry};
use crate::error::{Error, Result};

/// Largest pickle that is read, in bytes: those of large models have some hundred kilobytes.
const LONGEST_PICKLE: u64 = 64 << 20;
/// Tensors may share a storage, or repeat its values, but not so that they are many times as large as the file, ...
const MOST_SHARED: u64 = 4;
/// ... unless all of them have no more bytes than this.
const SMALL: u64 = 64 << 20;

/// Bytes of `little`.
const LONGEST_ORDER: u64 = 6;

type Archive = ZipArchive<BufReader<File>>;

/// All tensors of the state dict in a file; of that under `key`, where there is one.
pub(super) fn read(path: &Path, key: Option<&str>, device: &Device) -> Result<Found> {
    let file = File::open(path).map_err(|source| cnc_nn::Error::Read { path: path.to_owned(), source })?;
    tensors(file, key, device).map_err(|problem| Error::Pickle { path: path.to_owned(), problem })
}

fn tensors(file: File, key: Option<&str>, device: &Device) -> std::result::Result<Found, Problem> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    // The archive begins where the file does: looking for its beginning, the reader takes that of the directory for 76
    // bytes later where the end has the records of large archives and the first name is as long as these.
    let from_the_start = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(from_the_start, BufReader::new(file))
        .map_err(|error| format!("its archive is damaged: {error}"))?;
    let pickle = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.rsplit('/').next() == Some("data.pkl"))
        .ok_or_else(|| "its archive has no data.pkl".to_owned())?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    let entries = pickle::entries(&contents(&mut archive, &pickle, LONGEST_PICKLE)?)?;
    let StateDict { tensors: entries, note } = state_dict(entries, key)?;
    let bytes = entries.values().map(|entry| size_of(entry).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
    if bytes > length.saturating_mul(MOST_SHARED).max(SMALL) {
        return Err(format!(
            "its tensors would take {bytes} bytes, many times as large as the file with {length}: they repeat its values"
        ));
    }
    let big_endian = is_big_endian(&mut archive, &format!("{folder}byteorder"))?;
    // Each storage is read once, however many tensors share it.
    let mut by_storage: BTreeMap<&str, Vec<(&String, &TensorEntry)>> = BTreeMap::new();
    for (name, entry) in &entries {
        by_storage.entry(&entry.storage).or_default().push((name, entry));
    }
    let mut tensors = BTreeMap::new();
    for (storage, entries) in by_storage {
        let bytes = contents(&mut archive, &format!("{folder}data/{storage}"), length)?;
        for (name, entry) in entries {
            let tensor =
                tensor(entry, &bytes, big_endian, device).map_err(|problem| format!("tensor {name}: {problem}"))?;
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(Found { tensors, notes: note.into_iter().collect() })
}

/// Whether the values were written by a machine of the other order of bytes; files before PyTorch 2.1 do not say it.
fn is_big_endian(archive: &mut Archive, name: &str) -> std::result::Result<bool, Problem> {
    if archive.index_for_name(name).is_none() {
        return Ok(false);
    }
    match contents(archive, name, LONGEST_ORDER)?.as_slice() {
        b"little" => Ok(false),
        b"big" => Ok(true),
        _ => Err(format!("{name} in its archive is neither little nor big")),
    }
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
    let bytes = entry.format.width();
    entry.shape.iter().try_fold(bytes as u64, |count, size| count.checked_mul(*size as u64))
}

/// The values of a tensor, in row-major order, out of those of its storage.
fn tensor(
    entry: &TensorEntry,
    storage: &[u8],
    big_endian: bool,
    device: &Device,
) -> std::result::Result<Tensor, Problem> {
    let TensorEntry { format, offset, shape, strides, .. } = entry;
    let outside = || format!("its shape {shape:?}, strides {strides:?} and offset {offset} go beyond its storage");
    if shape.len() != strides.len() {
        return Err(outside());
    }
    let width = format.width();
    let bytes = size_of(entry).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(outside)?;
    let mut values = if bytes == 0 {
        Vec::new()
    } else {
        let mut steps = shape.iter().zip(strides);
        let last = steps.try_fold(*offset, |sum, (size, stride)| sum.checked_add((size - 1).checked_mul(*stride)?));
        let last = last.ok_or_else(outside)?;
        if last >= storage.len() / width {
            return Err(outside());
        }
        gathered(entry, storage, width, bytes)
    };
    if big_endian {
        values.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    let tensor = match format {
        Format::Of(dtype) => Tensor::from_raw_buffer(&values, *dtype, shape, device),
        Format::I8 => {
            let wide: Vec<u8> = values.iter().flat_map(|byte| i16::from(byte.cast_signed()).to_ne_bytes()).collect();
            Tensor::from_raw_buffer(&wide, DType::I16, shape, device)
        }
    };
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
