//! Variables: seeded by name, sorted, saved and loaded strictly.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use cnc_nn::layers::{Conv2d, Conv2dOptions, Linear};
use cnc_nn::{Error, Parameters};

fn model(seed: u64) -> Parameters {
    let parameters = Parameters::new(seed, &Device::Cpu);
    Linear::new(3, 2, parameters.builder().pp("fc1")).unwrap();
    Linear::new(2, 2, parameters.builder().pp("fc2")).unwrap();
    parameters
}

fn bits(parameters: &Parameters) -> BTreeMap<String, Vec<u32>> {
    let bits = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
    parameters.named().unwrap().iter().map(|(name, tensor)| (name.clone(), bits(tensor).collect())).collect()
}

fn names(parameters: &Parameters) -> Vec<String> {
    parameters.trainable().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    assert_eq!(bits(&model(1)), bits(&model(1)));
    assert_ne!(bits(&model(1))["fc1.weight"], bits(&model(2))["fc1.weight"]);
}

#[test]
fn neither_order_nor_company_changes_a_variable() {
    let parameters = Parameters::new(1, &Device::Cpu);
    Linear::new(2, 2, parameters.builder().pp("fc2")).unwrap();
    Conv2d::new(3, 4, Conv2dOptions { kernel: 3, stride: 1, padding: 0, bias: true }, parameters.builder().pp("conv"))
        .unwrap();
    Linear::new(3, 2, parameters.builder().pp("fc1")).unwrap();
    let (here, there) = (bits(&parameters), bits(&model(1)));
    for (name, values) in there {
        assert_eq!(here[&name], values, "{name}");
    }
}

#[test]
fn variables_are_sorted_by_name_and_have_values_of_their_own() {
    let parameters = model(0);
    assert_eq!(names(&parameters), ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]);
    let bits = bits(&parameters);
    assert_ne!(bits["fc1.bias"], bits["fc2.bias"]);
}

#[test]
fn asking_twice_gives_the_same_variable_and_another_shape_is_an_error() {
    let parameters = Parameters::new(0, &Device::Cpu);
    let first = parameters.builder().pp("a").get_with_hints(3, "w", Init::Const(1.0)).unwrap();
    let second = parameters.builder().pp("a").get_with_hints(3, "w", Init::Const(2.0)).unwrap();
    assert_eq!(first.id(), second.id());
    assert_eq!(parameters.builder().get_unchecked("a.w").unwrap().id(), first.id());
    let error = parameters.builder().pp("a").get_with_hints(4, "w", Init::Const(1.0)).unwrap_err();
    assert!(error.to_string().contains("a.w has shape [3] and was asked for again with shape [4]"), "{error}");
    let error = parameters.builder().get_unchecked("a.v").unwrap_err();
    assert!(error.to_string().contains("no variable a.v"), "{error}");
    assert!(parameters.builder().contains_tensor("a.w") && !parameters.builder().contains_tensor("a.v"));
}

#[test]
fn running_statistics_are_saved_but_not_trained() {
    let parameters = model(0);
    for name in ["running_mean", "running_var", "num_batches_tracked"] {
        parameters.builder().pp("bn1").get_with_hints(2, name, Init::Const(0.0)).unwrap();
    }
    assert_eq!(names(&parameters).len(), 4);
    assert_eq!(parameters.named().unwrap().len(), 7);
}

#[test]
fn copies_do_not_change_with_the_variables() {
    let parameters = model(0);
    let copies = parameters.named().unwrap();
    let before = copies["fc1.bias"].to_vec1::<f32>().unwrap();
    for (_, var) in parameters.trainable() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    assert_eq!(copies["fc1.bias"].to_vec1::<f32>().unwrap(), before);
    parameters.load(&copies).unwrap();
    assert_eq!(bits(&parameters), bits(&model(0)));
}

#[test]
fn every_difference_is_named_and_nothing_is_changed() {
    let parameters = model(0);
    let mut tensors = model(1).named().unwrap();
    tensors.remove("fc1.bias");
    tensors.insert("fc3.bias".to_owned(), Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap());
    tensors.insert("fc1.weight".to_owned(), Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap());
    tensors.insert("fc2.bias".to_owned(), Tensor::new(&[0.0, f32::NAN], &Device::Cpu).unwrap());
    let error = parameters.load(&tensors).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these tensors do not fit the model: missing fc1.bias; not known here fc3.bias; fc1.weight should have shape \
         [2, 3] and has [2, 4]; NaN or infinite values in fc2.bias"
    );
    assert_eq!(bits(&parameters), bits(&model(0)));
}

#[test]
fn other_number_formats_are_converted() {
    let parameters = model(0);
    let halves = model(1).named().unwrap().into_iter();
    let halves = halves.map(|(name, tensor)| (name, tensor.to_dtype(DType::F16).unwrap())).collect();
    parameters.load(&halves).unwrap();
    for (name, tensor) in parameters.named().unwrap() {
        assert_eq!(tensor.dtype(), DType::F32);
        let difference = (tensor - &model(1).named().unwrap()[&name]).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-3, "{name}");
    }
}

#[test]
fn a_file_gives_the_same_bits_back_and_the_same_model_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model(1).save(&path).unwrap();
    let first = fs::read(&path).unwrap();
    let parameters = model(2);
    parameters.read(&path).unwrap();
    assert_eq!(bits(&parameters), bits(&model(1)));
    parameters.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "an unfinished file is left");
}

#[test]
fn a_missing_a_cut_and_a_foreign_file_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let parameters = model(1);
    let refused = || {
        let error = parameters.read(&path).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        error
    };
    assert!(matches!(refused(), Error::Read { .. }));
    parameters.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 8, 60, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refused(), Error::NotSafetensors { .. }));
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(matches!(refused(), Error::NotSafetensors { .. }));
    fs::write(&path, "<!DOCTYPE html><html><body>quota exceeded</body></html>").unwrap();
    assert!(matches!(refused(), Error::NotSafetensors { .. }));
    assert_eq!(bits(&parameters), bits(&model(1)));
}

#[test]
fn what_cannot_be_written_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/model.safetensors");
    let error = model(1).save(&missing).unwrap_err();
    assert!(matches!(&error, Error::Write(failed) if failed.path == missing), "{error}");
    // A folder is in the way: the rename fails after everything is written.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("inside"), "kept").unwrap();
    let error = cnc_base::files::write_atomically(&taken, b"new").unwrap_err();
    assert!(error.to_string().contains("taken (3 bytes)"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(taken.join("inside")).unwrap(), "kept");
}
