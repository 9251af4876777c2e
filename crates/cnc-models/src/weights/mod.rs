//! Weights from files of others: `.safetensors` (timm, torchvision, Hugging Face) and PyTorch's `.pth`.

mod names;
mod pickle;
mod pth;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::model::Model;

/// First bytes of a zip archive: PyTorch's format since 1.6.
const ZIP: &[u8] = b"PK\x03\x04";
/// First bytes of PyTorch's format before: a pickled number, 0x1950a86a20f9469cfc6c.
const BEFORE_ZIP: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// What became of a file's classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a head that was left out starts from drawn weights, which a user should know"]
pub enum Head {
    /// It is for as many classes as the model's, and was loaded.
    Loaded,
    /// It is for another number of classes: the model keeps its own.
    LeftOut {
        /// Classes of the file's head.
        classes: usize,
    },
}

/// Sets all variables of a model from a file: `.safetensors`, or a state dict that PyTorch saved (1.6 or later; also one
/// inside a checkpoint, under `state_dict` or `model`). Which of the two it is, its first bytes say.
///
/// Names are the model's; `module.` in front of all of them is taken off. Number formats are converted. The counters of
/// batch norm may be missing. Nothing in a file is ever executed.
///
/// # Errors
/// Nothing is changed when there is one. [`Error::Weights`] names the file and every missing, unknown, misshapen and
/// non-finite tensor; [`Error::Pickle`] a file that is damaged or holds anything but tensors; [`Error::OldPickle`] one
/// in PyTorch's format before 1.6; [`Error::Layer`] a file that cannot be read or is no safetensors file.
pub fn load(model: &dyn Model, path: &Path) -> Result<Head> {
    let mut tensors = names::without_wrapper(read(path, model.parameters().device())?);
    let own = model.parameters().named()?;
    let head = names::head(model.classifier(), &own, &tensors);
    if matches!(head, Head::LeftOut { .. }) {
        names::replace_head(model.classifier(), &own, &mut tensors);
    }
    names::fill_counters(&own, &mut tensors);
    match model.parameters().load(&tensors) {
        Ok(()) => Ok(head),
        Err(cnc_nn::Error::Mismatch { mismatch, .. }) => Err(Error::Weights { path: path.to_owned(), mismatch }),
        Err(error) => Err(error.into()),
    }
}

/// All tensors of a file in one of the formats that [`load`] knows, under the names that it gives them.
///
/// # Errors
/// As [`load`] for the file itself.
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let start = start_of(path)?;
    if start.starts_with(ZIP) {
        return pth::read(path, device);
    }
    if start.starts_with(BEFORE_ZIP) {
        return Err(Error::OldPickle { path: path.to_owned() });
    }
    Ok(cnc_nn::files::read(path, device)?)
}

/// The first bytes of a file.
fn start_of(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEFORE_ZIP.len() as u64).read_to_end(&mut start));
    match read {
        Ok(_) => Ok(start),
        Err(source) => Err(cnc_nn::Error::Read { path: path.to_owned(), source }.into()),
    }
}
