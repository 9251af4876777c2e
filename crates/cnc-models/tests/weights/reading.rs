//! What is in a file.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnc_models::weights;

use crate::{pth, refusal};

fn read(name: &str) -> BTreeMap<String, Tensor> {
    weights::read(&pth(name), &Device::Cpu).unwrap().tensors
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_number_format_and_layout_of_pytorch_is_read() {
    let tensors = read("tensors");
    let counts: Vec<f64> = (0..24).map(f64::from).collect();
    let expected = |scale: f64, offset: f64| counts.iter().map(|v| v / scale - offset).collect::<Vec<_>>();
    for (name, dtype, expected) in [
        ("f32", DType::F32, expected(1.0, 0.0)),
        ("f64", DType::F64, expected(3.0, 0.0)),
        ("f16", DType::F16, expected(4.0, 0.0)),
        ("bf16", DType::BF16, expected(4.0, 0.0)),
        ("i64", DType::I64, expected(1.0, 7.0)),
        ("i32", DType::I32, expected(1.0, 0.0)),
        ("i16", DType::I16, expected(1.0, 0.0)),
        ("u8", DType::U8, expected(1.0, 0.0)),
        ("truth", DType::U8, counts.iter().map(|v| f64::from(v % 2.0 == 0.0)).collect()),
    ] {
        let tensor = &tensors[name];
        assert_eq!((tensor.dtype(), tensor.dims()), (dtype, &[2, 3, 4][..]), "{name}");
        assert_eq!(values(tensor), expected, "{name}");
    }
    assert_eq!((tensors["scalar"].dims(), values(&tensors["scalar"])), (&[][..], vec![7.0]));
    assert_eq!(tensors["empty"].dims(), [0, 3]);
    let counts = &tensors["f32"];
    for (name, expected) in [
        ("transposed", counts.transpose(0, 2).unwrap()),
        ("row", counts.get(1).unwrap().get(1).unwrap()),
        ("column", counts.narrow(1, 1, 2).unwrap().narrow(2, 2, 1).unwrap().squeeze(2).unwrap()),
        ("parameter", counts.get(0).unwrap()),
    ] {
        assert_eq!(tensors[name].dims(), expected.dims(), "{name}");
        assert_eq!(values(&tensors[name]), values(&expected), "{name}");
    }
    assert_eq!(tensors["last"].dims(), [1, 2, 1, 2, 3]);
    assert_eq!(values(&tensors["last"]), [1., 2., 3., 9., 10., 11., 13., 14., 15., 21., 22., 23.]);
}

#[test]
fn the_state_dict_of_a_checkpoint_is_found() {
    let names = |name| read(name).into_keys().collect::<Vec<_>>();
    assert_eq!(names("nested"), ["module.fc.bias", "module.fc.weight"]);
    assert_eq!(names("model"), ["fc.bias", "fc.weight"]);
    assert_eq!(values(&read("model")["fc.weight"]), [1.0, 2.0]);
}

#[test]
fn a_pickle_that_would_run_code_is_refused_with_the_name_of_the_function() {
    let message = refusal("code");
    assert!(message.contains("code.pth") && message.contains("`__builtin__.print`"), "{message}");
    let message = refusal("whole");
    assert!(message.contains("torch.nn.modules.linear.Linear") && message.contains("state_dict()"), "{message}");
}

#[test]
fn what_is_no_tensor_is_refused_by_its_key() {
    let message = refusal("number");
    assert!(message.contains("`epoch` is a number") && message.contains("state_dict or model"), "{message}");
}

#[test]
fn the_format_before_1_6_is_refused_with_what_to_do() {
    let message = refusal("old");
    assert!(message.contains("old.pth") && message.contains("before version 1.6"), "{message}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let message = refusal("nowhere");
    assert!(message.contains("nowhere.pth"), "{message}");
}
