//! Where weights are: a file, the files of an index, or a folder with one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::{Read, form, pth};
use crate::error::{Error, Result};

/// What weights are called in a folder, from the first that counts to the last: the order of transformers.
const NAMES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// How the name of an index ends.
const INDEX: &str = ".index.json";
/// How names of weights end, in forms that are read and in others.
const ENDINGS: [&str; 14] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "h5",
    "hdf5",
    "keras",
    "msgpack",
    "onnx",
    "ot",
    "tflite",
    "gguf",
    "npz",
];
/// What training leaves beside weights, with such an ending.
const NO_WEIGHTS: [&str; 4] = ["training_args.bin", "optimizer.", "scheduler.", "rng_state"];

/// A file of weights, or the index of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    /// The state dict among several of the file.
    key: Option<String>,
    /// Names of [`NAMES`] in the folder that count less.
    passed_over: Vec<String>,
}

/// The path and the key in `FILE#key`; a path that is there is a path as it stands.
#[must_use]
pub fn apart(init: &Path) -> (&Path, Option<&str>) {
    let split = || init.to_str()?.rsplit_once('#').filter(|(path, key)| !path.is_empty() && !key.is_empty());
    match split() {
        Some((path, key)) if fs::symlink_metadata(init).is_err() => (Path::new(path), Some(key)),
        _ => (init, None),
    }
}

/// The weights that a path stands for: a file, `FILE#key` for one state dict of several in a file of PyTorch's, an index of
/// several files, or a folder. Of a folder it is the first that is there of `model.safetensors`,
/// `model.safetensors.index.json`, `pytorch_model.bin` and `pytorch_model.bin.index.json`; none where it holds no weights.
///
/// # Errors
/// [`Error::NotWeights`] for a link that leads nowhere, and a folder with weights in other files than these.
pub fn find(init: &Path) -> Result<Option<Source>> {
    let (path, key) = apart(init);
    if !path.is_dir() {
        exists(path)?;
        return Ok(Some(Source { path: path.to_owned(), key: key.map(str::to_owned), passed_over: Vec::new() }));
    }
    let mut names = NAMES.into_iter().filter(|name| fs::symlink_metadata(path.join(name)).is_ok());
    if let Some(first) = names.next() {
        let file = path.join(first);
        exists(&file)?;
        let passed_over = names.map(str::to_owned).collect();
        return Ok(Some(Source { path: file, key: key.map(str::to_owned), passed_over }));
    }
    let others = others(path)?;
    match others.first() {
        None => Ok(None),
        Some(name) => Err(Error::NotWeights {
            path: path.to_owned(),
            found: format!("a folder with {}, but none of {}", others.join(", "), NAMES.join(", ")),
            remedy: match form::of_name(name) {
                Some(form) => format!("{name} is {}; {}", form.found, form.remedy),
                None if name.contains("-of-") => "the index of these shards is missing; copy it as well".to_owned(),
                None => format!("name the file that is meant, such as {}", path.join(name).display()),
            },
        }),
    }
}

/// Names of files with weights under other names, or in other forms.
fn others(folder: &Path) -> Result<Vec<String>> {
    let unread = |source| cnc_nn::Error::Read { path: folder.to_owned(), source };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name().to_string_lossy().into_owned();
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_of_training = NO_WEIGHTS.iter().any(|start| name.starts_with(start));
        if (ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) || name.ends_with(".ckpt.index")) && !is_of_training
        {
            names.insert(name);
        }
    }
    Ok(names.into_iter().collect())
}

/// Refuse a link that leads nowhere.
fn exists(path: &Path) -> Result<()> {
    match fs::read_link(path) {
        Ok(target) if !path.exists() => Err(Error::NotWeights {
            path: path.to_owned(),
            found: format!("a link to {}, which is not there", target.display()),
            remedy: "fetch or copy the file itself".to_owned(),
        }),
        _ => Ok(()),
    }
}

impl Source {
    /// The file, or the index.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All its files: itself, or the index and the files that this names.
    ///
    /// # Errors
    /// [`Error::Index`] for an index that is none.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.path.clone()];
        if self.is_index() {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            files.extend(Index::read(&self.path)?.shards().map(|shard| folder.join(shard)));
        }
        Ok(files)
    }

    fn is_index(&self) -> bool {
        self.path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(INDEX))
    }

    /// All tensors, under the names that the files have for them.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub(super) fn read(&self, device: &Device) -> Result<Read> {
        let mut read =
            if self.is_index() { self.read_shards(device)? } else { file(&self.path, self.key.as_deref(), device)? };
        read.notes.extend(self.passed_over());
        Ok(read)
    }

    /// The other files with weights in its folder, in a sentence; nothing where there is none.
    #[must_use]
    pub fn passed_over(&self) -> Option<String> {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let others = self.passed_over.join(" and ");
        (!others.is_empty()).then(|| format!("its folder also holds {others}, which {name} comes before"))
    }

    /// The tensors of all files that an index names; each has what the index says, and no more is taken.
    fn read_shards(&self, device: &Device) -> Result<Read> {
        let index = Index::read(&self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let missing: Vec<&str> = index.shards().filter(|name| !folder.join(name).is_file()).collect();
        if !missing.is_empty() {
            let (are, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
            return Err(index.wrong(format!(
                "{} of its {} files {are} not there: {}; copy or fetch {them} as well",
                missing.len(),
                index.shards().count(),
                missing.join(", ")
            )));
        }
        let (mut tensors, mut unnamed) = (BTreeMap::new(), 0);
        for shard in index.shards() {
            let read = file(&folder.join(shard), None, device)?;
            for (name, tensor) in read.tensors {
                match index.files.get(&name) {
                    Some(of) if of == shard => _ = tensors.insert(name, tensor),
                    _ => unnamed += 1,
                }
            }
        }
        if let Some((name, shard)) = index.files.iter().find(|(name, _)| !tensors.contains_key(*name)) {
            let count = index.files.len() - tensors.len();
            return Err(index.wrong(format!("{count} of its tensors are not in its files, such as {name} in {shard}")));
        }
        let unnamed =
            (unnamed > 0).then(|| format!("{unnamed} tensors of its files are not in the index, and left aside"));
        Ok(Read { tensors, notes: unnamed.into_iter().collect() })
    }
}

/// The tensors of one file.
fn file(path: &Path, key: Option<&str>, device: &Device) -> Result<Read> {
    let start = form::start(path)?;
    if form::is_zip(&start) {
        return pth::read(path, key, device);
    }
    if form::is_before_zip(&start) {
        return Err(Error::OldPickle { path: path.to_owned() });
    }
    if let Some(form) = form::foreign(&start).or_else(|| form::of_name(&path.to_string_lossy())) {
        return Err(Error::NotWeights { path: path.to_owned(), found: form.found.into(), remedy: form.remedy.into() });
    }
    let tensors: BTreeMap<String, Tensor> = cnc_nn::files::read(path, device)?;
    if let Some(key) = key {
        return Err(Error::NotWeights {
            path: path.to_owned(),
            found: format!("a safetensors file, which has no state dict `{key}` of several"),
            remedy: format!("leave out `#{key}`"),
        });
    }
    if tensors.is_empty() {
        return Err(Error::NotWeights {
            path: path.to_owned(),
            found: "a safetensors file without any tensor".to_owned(),
            remedy: "save the model's state dict into it".to_owned(),
        });
    }
    Ok(Read { tensors, notes: Vec::new() })
}

/// What an index says: the file of each tensor.
struct Index {
    path: PathBuf,
    files: BTreeMap<String, String>,
}

impl Index {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|source| cnc_nn::Error::Read { path: path.to_owned(), source })?;
        let index = Self { path: path.to_owned(), files: BTreeMap::new() };
        let json: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| index.wrong(format!("it is no JSON: {error}")))?;
        let map = json.get("weight_map").and_then(serde_json::Value::as_object);
        let map = map.filter(|map| !map.is_empty()).ok_or_else(|| index.wrong("it has no weight_map".to_owned()))?;
        let mut files = BTreeMap::new();
        for (name, file) in map {
            // A name alone: an index leads to no other folder.
            let file = file.as_str().filter(|file| Path::new(file).file_name().is_some_and(|name| name == *file));
            let file = file.ok_or_else(|| index.wrong(format!("it has no name of a file for the tensor {name}")))?;
            files.insert(name.clone(), file.to_owned());
        }
        Ok(Self { files, ..index })
    }

    fn shards(&self) -> impl Iterator<Item = &str> {
        self.files.values().map(String::as_str).collect::<BTreeSet<_>>().into_iter()
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Index { path: self.path.clone(), problem }
    }
}
