//! Weights from files of others: `.safetensors` (timm, torchvision, Hugging Face) and PyTorch's `.pth` and `.bin`, whole
//! or in shards.

mod chosen;
mod form;
pub(crate) mod names;
mod pickle;
mod pth;
mod source;

pub use names::Partial;
pub use source::{Source, apart, find};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::model::Model;

/// How the names of batch norm's variances end.
const VARIANCE: &str = ".running_var";

/// The tensors of a file, and what a user should know of where they are from.
#[derive(Debug, Clone)]
pub struct Read {
    /// By their names in the file.
    pub tensors: BTreeMap<String, Tensor>,
    /// Which of several state dicts or files was taken.
    pub notes: Vec<String>,
}

/// What became of a file's classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// It is for as many classes as the model's, and was loaded.
    Loaded,
    /// It is for another number of classes: the model keeps its own.
    LeftOut {
        /// Classes of the file's head.
        classes: usize,
    },
    /// There is none: the model keeps its own.
    Missing,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what was left out starts from drawn weights, which a user should know"]
pub struct Loaded {
    /// Its classifier.
    pub head: Head,
    /// How many of its tensors were loaded, the prefix that was taken off their names, and which state dict it was.
    pub notes: Vec<String>,
}

/// Sets all variables of a model from the weights that a path stands for: see [`find`].
///
/// Names are the model's; a prefix that all of them have in common is taken off. Number formats are converted. The counters
/// of batch norm and the whole head may be missing. Nothing in a file is ever executed.
///
/// # Errors
/// Nothing is changed when there is one. [`Error::Weights`] names the file and every missing, unknown, misshapen and
/// non-finite tensor; [`Error::Prefix`] a prefix that only some of them have; [`Error::NegativeVariance`] what no batch has;
/// and those of [`read`].
pub fn load(model: &dyn Model, path: &Path) -> Result<Loaded> {
    let (path, Read { tensors, mut notes }) = read_found(path, model.parameters().device())?;
    let own = model.parameters().named()?;
    let of_file = tensors.len();
    let (mut tensors, prefix) = names::without_prefix(tensors, |name| own.contains_key(name), |_| true);
    let head = names::head(model.classifier(), &own, &tensors);
    let taken = match head {
        Head::Loaded => of_file,
        Head::Missing | Head::LeftOut { .. } => of_file - names::replace_head(model.classifier(), &own, &mut tensors),
    };
    names::fill_counters(&own, &mut tensors);
    check_variances(&tensors, &path)?;
    match model.parameters().load(&tensors) {
        Ok(()) => {
            notes.insert(0, summary(taken, of_file, &path, prefix.as_deref()));
            Ok(Loaded { head, notes })
        }
        Err(cnc_nn::Error::Mismatch { mismatch, .. }) => {
            Err(match names::Partial::find(&mismatch.extra, &mismatch.missing, of_file) {
                Some(partial) => Error::Prefix { path, partial: Box::new(partial) },
                None => Error::Weights { path, mismatch },
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// All tensors of the weights that a path stands for, under the names that the files give them.
///
/// # Errors
/// Those of [`find`]; [`Error::NoWeights`] for a folder without any; [`Error::Pickle`] for a file of PyTorch's that is
/// damaged or holds anything but tensors; [`Error::OldPickle`] for one in its format before 1.6; [`Error::Index`] for one
/// whose files are not all there; [`Error::NotWeights`] for a form that is not read; [`Error::Layer`] for a file that cannot
/// be read or is no safetensors file.
pub fn read(path: &Path, device: &Device) -> Result<Read> {
    Ok(read_found(path, device)?.1)
}

/// [`read`], with the file that it was.
pub(crate) fn read_found(path: &Path, device: &Device) -> Result<(PathBuf, Read)> {
    let source = find(path)?.ok_or_else(|| Error::NoWeights { path: path.to_owned() })?;
    Ok((source.path().to_owned(), source.read(device)?))
}

/// How many tensors of a file were taken.
pub(crate) fn summary(taken: usize, of: usize, path: &Path, prefix: Option<&str>) -> String {
    let prefix = prefix.map(|prefix| format!(", prefix `{prefix}` left out")).unwrap_or_default();
    format!("{taken} of {of} tensors of {} loaded{prefix}", path.display())
}

/// Refuse variances below 0: their roots are NaN, and only in evaluation.
fn check_variances(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let mut negative = Vec::new();
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.ends_with(VARIANCE)) {
        let values = tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        if values.iter().any(|value| *value < 0.0) {
            negative.push(name.clone());
        }
    }
    if negative.is_empty() { Ok(()) } else { Err(Error::NegativeVariance { path: path.to_owned(), names: negative }) }
}
