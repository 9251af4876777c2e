//! Weights in folders: whole, in shards, and in other forms.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use cnc_models::Error;
use cnc_models::weights::{Read, find, read};
use tempfile::TempDir;

use super::loading::{Tensors, values};
use super::pth;

const INDEX: &str = r#"{"metadata": {"total_size": 24}, "weight_map": {
    "a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors",
    "b.bias": "model-00002-of-00002.safetensors"}}"#;

fn save(folder: &Path, file: &str, tensors: &[(&str, &[f32])]) {
    let tensor = |(name, values): &(&str, &[f32])| ((*name).to_owned(), Tensor::new(*values, &Device::Cpu).unwrap());
    let tensors: Tensors = tensors.iter().map(tensor).collect();
    cnc_nn::files::save(&tensors, &folder.join(file)).unwrap();
}

/// A folder with two shards and their index.
fn shards() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "model-00001-of-00002.safetensors", &[("a.weight", &[1.0, 2.0])]);
    save(folder.path(), "model-00002-of-00002.safetensors", &[("b.weight", &[3.0, 4.0, 5.0]), ("b.bias", &[6.0])]);
    fs::write(folder.path().join("model.safetensors.index.json"), INDEX).unwrap();
    folder
}

fn all(path: &Path) -> Read {
    read(path, &Device::Cpu).unwrap()
}

fn refusal(path: &Path, words: &[&str]) -> Error {
    let error = read(path, &Device::Cpu).unwrap_err();
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    error
}

#[test]
fn shards_are_read_by_their_index_from_the_folder_or_its_path() {
    let folder = shards();
    for path in [folder.path().to_owned(), folder.path().join("model.safetensors.index.json")] {
        let Read { tensors, notes } = all(&path);
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["a.weight", "b.bias", "b.weight"]);
        assert_eq!(values(&tensors["b.weight"]), [3.0, 4.0, 5.0]);
        assert!(notes.is_empty(), "{notes:?}");
    }
    // Those of PyTorch.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(pth("protocol4"), folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let index = r#"{"weight_map": {"fc.weight": "pytorch_model-00001-of-00001.bin"}}"#;
    fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let Read { tensors, notes } = all(folder.path());
    assert_eq!(tensors.keys().collect::<Vec<_>>(), ["fc.weight"]);
    assert_eq!(notes, ["1 tensors of its files are not in the index, and left aside"]);
}

#[test]
fn a_shard_that_is_missing_cut_or_not_what_the_index_says_is_an_error() {
    let folder = shards();
    let second = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 5]).unwrap();
    refusal(folder.path(), &["model-00002-of-00002.safetensors"]);
    save(folder.path(), "model-00002-of-00002.safetensors", &[("b.weight", &[3.0, 4.0, 5.0])]);
    refusal(folder.path(), &["1 of its tensors are not in its files", "b.bias in model-00002-of-00002.safetensors"]);
    fs::remove_file(&second).unwrap();
    let error =
        refusal(folder.path(), &["1 of its 2 files is not there: model-00002-of-00002.safetensors; copy or fetch it"]);
    assert!(matches!(error, Error::Index { .. }), "{error}");
    for (index, words) in [
        ("{", "no JSON"),
        ("{}", "no weight_map"),
        (r#"{"weight_map": {}}"#, "no weight_map"),
        (r#"{"weight_map": {"a": "../secret.safetensors"}}"#, "no name of a file for the tensor a"),
        (r#"{"weight_map": {"a": "/etc/secret"}}"#, "no name of a file for the tensor a"),
    ] {
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        refusal(folder.path(), &["model.safetensors.index.json", words]);
    }
}

#[test]
fn of_several_the_first_by_rule_counts_and_the_others_are_named() {
    let folder = shards();
    fs::copy(pth("protocol4"), folder.path().join("pytorch_model.bin")).unwrap();
    let Read { tensors, notes } = all(folder.path());
    assert_eq!(tensors.len(), 3);
    assert_eq!(notes, ["its folder also holds pytorch_model.bin, which model.safetensors.index.json comes before"]);
    save(folder.path(), "model.safetensors", &[("stray.weight", &[0.0])]);
    let Read { tensors, notes } = all(folder.path());
    assert_eq!(tensors.keys().collect::<Vec<_>>(), ["stray.weight"]);
    assert!(notes[0].contains("model.safetensors.index.json and pytorch_model.bin"), "{notes:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(pth("protocol4"), folder.path().join("pytorch_model.bin")).unwrap();
    assert_eq!(all(folder.path()).tensors.len(), 2);
}

#[test]
fn weights_in_other_files_are_refused_and_a_folder_without_any_is_told_from_these() {
    for (name, words) in [
        ("tf_model.h5", &["tf_model.h5", "TensorFlow", "from_tf=True"][..]),
        ("flax_model.msgpack", &["Flax"]),
        ("model.onnx", &["ONNX"]),
        ("mine.pth", &["name the file that is meant", "mine.pth"]),
        ("model-00001-of-00002.safetensors", &["the index of these shards is missing"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join("training_args.bin"), "no weights").unwrap();
        assert_eq!(find(folder.path()).unwrap(), None);
        assert!(matches!(refusal(folder.path(), &["there are no weights in"]), Error::NoWeights { .. }));
        fs::write(folder.path().join(name), "x").unwrap();
        let error = refusal(folder.path(), words);
        assert!(matches!(error, Error::NotWeights { .. }), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named_with_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("model.safetensors");
    std::os::unix::fs::symlink("../../blobs/0123", &link).unwrap();
    for path in [folder.path(), &link] {
        let error = refusal(path, &["model.safetensors is a link to ../../blobs/0123, which is not there"]);
        assert!(matches!(error, Error::NotWeights { .. }), "{error}");
    }
}
