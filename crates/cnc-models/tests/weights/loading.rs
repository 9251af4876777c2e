//! From a file into a model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use cnc_models::weights::{Head, load};
use cnc_models::{Error, Model, build};
use tempfile::TempDir;

use crate::pth;

pub type Tensors = BTreeMap<String, Tensor>;

pub fn model(name: &str, classes: usize, seed: u64) -> Box<dyn Model> {
    build(name, classes, seed, &Device::Cpu).unwrap()
}

pub fn named(model: &dyn Model) -> Tensors {
    model.parameters().named().unwrap()
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A folder with the tensors of a ResNet-18 after a change.
pub fn changed(classes: usize, change: impl FnOnce(&mut Tensors)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = named(&*model("resnet18", classes, 1));
    change(&mut tensors);
    cnc_nn::files::save(&tensors, &path).unwrap();
    (folder, path)
}

/// The message of a file that does not fit a ResNet-18 of two classes, which stays as it was.
fn refusal(path: &Path) -> String {
    let model = model("resnet18", 2, 0);
    let before = values(&named(&*model)["conv1.weight"]);
    let error = load(&*model, path).unwrap_err();
    assert!(matches!(error, Error::Weights { .. }), "{error}");
    assert_eq!(values(&named(&*model)["conv1.weight"]), before);
    error.to_string()
}

fn floats(tensors: &mut Tensors, dtype: DType) {
    for tensor in tensors.values_mut().filter(|tensor| tensor.dtype() == DType::F32) {
        *tensor = tensor.to_dtype(dtype).unwrap();
    }
}

#[test]
fn safetensors_in_any_number_format_are_loaded() {
    for (dtype, tolerance) in [(DType::F32, 0.0), (DType::F16, 1e-3), (DType::BF16, 1e-2)] {
        let (_folder, path) = changed(2, |tensors| floats(tensors, dtype));
        let (theirs, ours) = (model("resnet18", 2, 1), model("resnet18", 2, 0));
        assert_eq!(load(&*ours, &path).unwrap().head, Head::Loaded);
        let (theirs, ours) = (named(&*theirs), named(&*ours));
        for (name, tensor) in ours {
            let expected = values(&theirs[&name]);
            let close = |(a, b): (f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1e-2);
            assert!(values(&tensor).into_iter().zip(&expected).all(close), "{name} from {dtype:?}");
        }
    }
}

#[test]
fn a_state_dict_of_pytorch_is_loaded() {
    let model = model("lenet", 5, 0);
    assert_eq!(load(&*model, &pth("lenet")).unwrap().head, Head::Loaded);
    for (name, tensor) in named(&*model) {
        let expected = (0..tensor.elem_count()).map(|i| (i % 251) as f32 / 251.0 - 0.5);
        assert!(values(&tensor).into_iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3), "{name}");
    }
}

#[test]
fn a_head_for_another_number_of_classes_is_left_out_and_said() {
    let (_folder, path) = changed(1000, |_| {});
    let (model, drawn) = (model("resnet18", 2, 0), model("resnet18", 2, 0));
    assert_eq!(load(&*model, &path).unwrap().head, Head::LeftOut { classes: 1000 });
    let (ours, drawn, theirs) = (named(&*model), named(&*drawn), named(&*self::model("resnet18", 1000, 1)));
    for (name, tensor) in &ours {
        let expected = if name.starts_with("fc.") { &drawn[name] } else { &theirs[name] };
        assert!(values(tensor) == values(expected), "{name}");
    }
    // A LeNet in a .pth file as well.
    assert_eq!(load(&*self::model("lenet", 3, 0), &pth("lenet")).unwrap().head, Head::LeftOut { classes: 5 });
}

#[test]
fn counters_of_batch_norm_may_be_missing_and_are_taken_where_they_are_there() {
    let without = |tensors: &mut Tensors| tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let (_folder, path) = changed(2, without);
    assert_eq!(load(&*model("resnet18", 2, 0), &path).unwrap().head, Head::Loaded);
    let with = |tensors: &mut Tensors| {
        tensors.insert("bn1.num_batches_tracked".to_owned(), Tensor::new(7i64, &Device::Cpu).unwrap());
    };
    let (_folder, path) = changed(2, with);
    let model = model("resnet18", 2, 0);
    assert_eq!(load(&*model, &path).unwrap().head, Head::Loaded);
    assert_eq!(named(&*model)["bn1.num_batches_tracked"].to_scalar::<i64>().unwrap(), 7);
}

#[test]
fn a_tensor_too_few_too_many_of_another_shape_or_not_finite_is_named_with_the_file() {
    let (_folder, path) = changed(2, |tensors| {
        tensors.remove("layer3.0.bn1.weight");
        let values = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).unwrap();
        tensors.insert("extra.weight".to_owned(), values.clone());
        tensors.insert("layer1.0.bn1.weight".to_owned(), values);
        let name = "layer2.0.bn1.running_mean";
        tensors.insert(name.to_owned(), tensors[name].affine(f64::INFINITY, 1.0).unwrap());
    });
    let message = refusal(&path);
    for part in [
        "model.safetensors",
        "missing layer3.0.bn1.weight;",
        "not known here extra.weight;",
        "layer1.0.bn1.weight should have shape [64] and has [2]",
        "NaN or infinite values in layer2.0.bn1.running_mean",
    ] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn a_file_without_a_head_leaves_that_of_the_model() {
    let (_folder, path) = changed(2, |tensors| tensors.retain(|name, _| !name.starts_with("fc.")));
    let (model, drawn) = (model("resnet18", 2, 0), model("resnet18", 2, 0));
    let loaded = load(&*model, &path).unwrap();
    assert_eq!(loaded.head, Head::Missing);
    assert!(loaded.notes[0].starts_with("120 of 120 tensors of "), "{:?}", loaded.notes);
    let (ours, drawn, theirs) = (named(&*model), named(&*drawn), named(&*self::model("resnet18", 2, 1)));
    for (name, tensor) in &ours {
        let expected = if name.starts_with("fc.") { &drawn[name] } else { &theirs[name] };
        assert!(values(tensor) == values(expected), "{name}");
    }
}

#[test]
fn a_variance_below_0_is_refused_by_name() {
    let (_folder, path) = changed(2, |tensors| {
        let name = "layer1.0.bn2.running_var";
        tensors.insert(name.to_owned(), tensors[name].affine(1.0, -2.0).unwrap());
    });
    let message = load(&*model("resnet18", 2, 0), &path).unwrap_err().to_string();
    assert!(message.contains("variances below 0 in layer1.0.bn2.running_var"), "{message}");
}

#[test]
fn a_head_of_another_width_is_no_head_of_another_number_of_classes() {
    let (_folder, path) = changed(1000, |tensors| {
        let head = Tensor::zeros((1000, 2048), DType::F32, &Device::Cpu).unwrap();
        tensors.insert("fc.weight".to_owned(), head);
    });
    let message = refusal(&path);
    assert!(message.contains("fc.weight should have shape [2, 512] and has [1000, 2048]"), "{message}");
}

#[test]
fn weights_of_another_architecture_are_refused_in_a_few_lines() {
    for name in ["resnet34", "resnet50", "lenet"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        model(name, 2, 0).parameters().save(&path).unwrap();
        let message = refusal(&path);
        assert!(message.contains("other.safetensors are not for this model"), "{message}");
        assert!(message.len() < 2000, "{message}");
    }
}
