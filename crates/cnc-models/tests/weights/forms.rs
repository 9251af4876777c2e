//! Files as people have them (see `fixtures/make_odd_weight_files.py`).

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use cnc_models::Error;
use cnc_models::weights::{Read, read};

use super::loading::values;
use super::{pth, refusal};

fn all(path: &Path) -> Read {
    read(path, &Device::Cpu).unwrap()
}

/// `FILE#key`.
fn under(name: &str, key: &str) -> PathBuf {
    format!("{}#{key}", pth(name).display()).into()
}

#[test]
fn every_protocol_of_pickle_is_read() {
    for protocol in ["protocol1", "protocol3", "protocol4", "protocol5"] {
        let Read { tensors, notes } = all(&pth(protocol));
        assert_eq!(values(&tensors["fc.weight"]), [1.0, 2.0], "{protocol}");
        assert_eq!(values(&tensors["fc.bias"]), [3.0], "{protocol}");
        assert_eq!(notes, ["the state dict is that under `state_dict`"]);
    }
}

#[test]
fn a_name_of_21_letters_is_a_name_like_any_other() {
    assert_eq!(values(&all(&pth("aaaaaaaaaaaaaaaaaaaaa")).tensors["fc.weight"]), [1.0, 2.0]);
}

#[test]
fn whole_numbers_truth_values_and_repeated_values_are_read_in_both_orders_of_bytes() {
    let counts: Vec<f32> = (-3i8..3).map(f32::from).collect();
    for file in ["kinds", "big"] {
        let tensors = all(&pth(file)).tensors;
        for (name, dtype) in [("i8", DType::I16), ("i32", DType::I32), ("i64", DType::I64), ("f8", DType::F8E4M3)] {
            assert_eq!(tensors[name].dtype(), dtype, "{name} of {file}");
            assert_eq!(values(&tensors[name]), counts, "{name} of {file}");
        }
        assert_eq!(values(&tensors["truth"]), [0., 0., 0., 0., 1., 1.], "{file}");
        assert_eq!(values(&tensors["u32"]), [0., 1., 2., 3., 4., 5.], "{file}");
        for name in ["f32", "half"] {
            assert_eq!(values(&tensors[name]), [-0.75, -0.5, -0.25, 0., 0.25, 0.5], "{name} of {file}");
        }
        assert_eq!(tensors["expanded"].dims(), [2, 1000]);
        assert_eq!(values(&tensors["expanded"]), [vec![2.0; 1000], vec![3.0; 1000]].concat(), "{file}");
    }
}

#[test]
fn of_two_state_dicts_the_models_is_taken_and_said_and_a_key_chooses() {
    let Read { tensors, notes } = all(&pth("ema"));
    assert_eq!(values(&tensors["fc.weight"]), [1.0, 2.0]);
    assert_eq!(
        notes,
        [
            "the state dict is that under `model`; beside it are `model_ema` with 2 tensors, which `#model_ema` behind the \
          file's name takes"
        ]
    );
    assert_eq!(values(&all(&under("ema", "model_ema")).tensors["fc.weight"]), [2.0, 4.0]);
    assert_eq!(values(&all(&under("two", "student")).tensors["fc.weight"]), [1.0, 2.0]);
    let message = refusal("two");
    for part in ["none of its dictionaries is known", "`#student` (2 tensors), `#teacher` (2 tensors)"] {
        assert!(message.contains(part), "{message}");
    }
    let message = read(&under("ema", "other"), &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("no state dict `other`") && message.contains("`#model_ema`"), "{message}");
}

#[test]
fn what_lightning_puts_beside_a_state_dict_is_passed_over_and_never_made() {
    let Read { tensors, notes } = all(&pth("lightning"));
    assert_eq!(tensors.keys().collect::<Vec<_>>(), ["model.fc.bias", "model.fc.weight"]);
    assert_eq!(notes, ["the state dict is that under `state_dict`"]);
}

#[test]
fn tensors_that_are_not_read_are_named_truly() {
    let message = refusal("complex");
    assert!(message.contains("`fc.weight` is what `torch.ComplexFloatStorage` makes"), "{message}");
    let message = refusal("sparse");
    assert!(message.contains("`fc.weight` is what `torch._utils._rebuild_sparse_tensor` makes"), "{message}");
    let message = refusal("old4");
    assert!(message.contains("before version 1.6"), "{message}");
}

#[test]
fn what_is_no_weights_is_called_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, words) in [
        ("page.pth", &b"\n<!DOCTYPE html><html>Sign in</html>"[..], &["a web page (HTML)", "download"][..]),
        ("empty.safetensors", b"", &["an empty file"]),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", &["Git LFS", "git lfs pull"]),
        ("model.bin", b"\x89HDF\r\n\x1a\n0000", &["TensorFlow", "from_tf=True"]),
        ("model.onnx", b"\x08\x07\x12\x07pytorch", &["a graph of ONNX"]),
        ("flax_model.msgpack", b"\x81\xa4bert\x80", &["Flax", "from_flax=True"]),
        ("packed.pth", b"\x1f\x8b\x08\x00", &["gzip"]),
        ("list.pth", b"\x80\x04\x95\x02\x00", &["torch.save did not write"]),
        ("none.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}", &["without any tensor"]),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::NotWeights { .. }), "{error}");
        let message = error.to_string();
        assert!(words.iter().chain(&[name]).all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn safetensors_whose_length_of_header_begins_as_another_form_does_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let one = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    // A pickle of protocol 2, a page of HTML, and the same behind a line's end.
    for length in [0x0280_usize, 0x3c3c, 0x3c0a, 0x0580] {
        let mut bytes = (length as u64).to_le_bytes().to_vec();
        bytes.extend(format!("{one:<length$}").as_bytes());
        bytes.extend(7f32.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(values(&read(&path, &Device::Cpu).unwrap().tensors["w"]), [7.0], "{length:#x}");
    }
}
