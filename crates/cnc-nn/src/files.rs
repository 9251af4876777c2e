//! Named tensors in files, which are there whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use cnc_base::files::write_atomically;
use safetensors::SafeTensors;

use crate::error::{Error, Result};

/// Writes named tensors to a `.safetensors` file, atomically. The same tensors always give the same bytes.
///
/// # Errors
/// [`Error::Write`] names the file and its size; [`Error::Candle`] when a tensor cannot be brought to the CPU
/// or the names alone take more than safetensors' 100 MB.
pub fn save(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let mut on_cpu = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        on_cpu.push((name, tensor.to_device(&Device::Cpu)?.contiguous()?));
    }
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(on_cpu, Some(metadata))
        .map_err(|error| candle_core::Error::from(error).with_path(path))?;
    Ok(write_atomically(path, &bytes)?)
}

/// Reads all tensors of a `.safetensors` file to `device`.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotSafetensors`] name the file: missing, cut short, another format, or a number
/// format that Candle does not have.
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let damaged = |reason: String| Error::NotSafetensors { path: path.to_owned(), reason };
    // Checks the whole header (sizes, offsets, overlaps, the file's length) before any tensor is made.
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            let tensor = view.load(device).map_err(|error| damaged(format!("tensor {name}: {error}")))?;
            Ok((name.to_owned(), tensor))
        })
        .collect()
}
