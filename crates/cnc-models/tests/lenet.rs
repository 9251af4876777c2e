//! LeNet against PyTorch, and what it refuses.

mod common;

use candle_core::{Device, Tensor};
use cnc_models::{Error, Inputs, LeNet, Mode, Model, build};
use cnc_nn::optim::Gradients;
use common::{fixture, noise};

fn lenet() -> LeNet {
    let model = LeNet::new(5, 0, &Device::Cpu).unwrap();
    let weights = model.parameters().trainable().into_iter().enumerate();
    let weights = weights.map(|(salt, (name, var))| (name, noise(salt as u64, var.dims(), 0.1))).collect();
    model.parameters().load(&weights).unwrap();
    model
}

fn images(batch: usize) -> Inputs {
    Inputs::Images(noise(100, &[batch, 3, 32, 32], 1.0))
}

fn assert_close(name: &str, ours: &Tensor, expected: &Tensor) {
    assert_eq!(ours.dims(), expected.dims(), "{name}");
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected = values(expected);
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    for (index, (our, expected)) in values(ours).iter().zip(&expected).enumerate() {
        assert!((our - expected).abs() <= 2e-5 * largest, "{name}[{index}]: {our}, PyTorch has {expected}");
    }
}

#[test]
fn forward_and_every_gradient_are_those_of_pytorch() {
    let (model, fixture) = (lenet(), fixture("lenet"));
    let representations = model.encode(&images(4), Mode::Eval).unwrap();
    assert_close("representations", &representations, &fixture["representations"]);
    let logits = model.classify(&representations, Mode::Eval).unwrap();
    assert_close("logits", &logits, &fixture["logits"]);
    let labels = Tensor::new(&[0u32, 1, 2, 3], &Device::Cpu).unwrap();
    let loss = candle_nn::loss::cross_entropy(&logits, &labels).unwrap();
    assert_close("loss", &loss.reshape(1).unwrap(), &fixture["loss"]);

    let parameters = model.parameters().trainable();
    assert_eq!(parameters.len(), 10);
    let gradients = Gradients::of(&loss, &parameters).unwrap();
    for (name, _) in parameters {
        let gradient = gradients.get(&name).unwrap().unwrap();
        if name == "fc1.weight" {
            let all = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let seventh: Vec<f32> = all.into_iter().step_by(7).collect();
            let seventh = Tensor::new(seventh, &Device::Cpu).unwrap();
            assert_close(&name, &seventh, &fixture["gradient.fc1.weight.every_seventh"]);
            assert_close(&name, &gradient.sum(1).unwrap(), &fixture["gradient.fc1.weight.row_sums"]);
            assert_close(&name, &gradient.sum(0).unwrap(), &fixture["gradient.fc1.weight.column_sums"]);
        } else {
            assert_close(&name, &gradient, &fixture[&format!("gradient.{name}")]);
        }
    }
}

#[test]
fn every_variable_of_a_fresh_network_gets_a_gradient_that_is_not_zero() {
    let model = build("lenet", 5, 0, &Device::Cpu).unwrap();
    let mode = Mode::Train { seed: 0 };
    let logits = model.classify(&model.encode(&images(8), mode).unwrap(), mode).unwrap();
    let labels = Tensor::new(&[0u32, 1, 2, 3, 4, 0, 1, 2], &Device::Cpu).unwrap();
    let loss = candle_nn::loss::cross_entropy(&logits, &labels).unwrap();
    let parameters = model.parameters().trainable();
    let gradients = Gradients::of(&loss, &parameters).unwrap();
    for (name, _) in parameters {
        let gradient = gradients.get(&name).unwrap().unwrap();
        let sum = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(sum > 0.0, "{name} gets no gradient");
    }
}

#[test]
fn a_saved_model_loads_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let saved = build("lenet", 5, 1, &Device::Cpu).unwrap();
    saved.parameters().save(&path).unwrap();
    let loaded = build("lenet", 5, 2, &Device::Cpu).unwrap();
    let logits = |model: &dyn Model| {
        let representations = model.encode(&images(3), Mode::Eval).unwrap();
        model.classify(&representations, Mode::Eval).unwrap().to_vec2::<f32>().unwrap()
    };
    assert_ne!(logits(saved.as_ref()), logits(loaded.as_ref()));
    loaded.parameters().read(&path).unwrap();
    assert_eq!(logits(saved.as_ref()), logits(loaded.as_ref()));
    let first = std::fs::read(&path).unwrap();
    loaded.parameters().save(&path).unwrap();
    assert_eq!(first, std::fs::read(&path).unwrap());
}

#[test]
fn the_seed_alone_decides_the_first_weights() {
    let weights = |seed| {
        let model = build("lenet", 5, seed, &Device::Cpu).unwrap();
        let tensors = model.parameters().named().unwrap();
        tensors.values().map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(weights(3), weights(3));
    assert_ne!(weights(3), weights(4));
}

#[test]
fn names_and_sizes_are_those_of_the_pytorch_model() {
    let model = build("lenet", 5, 0, &Device::Cpu).unwrap();
    assert_eq!((model.dim(), model.classes()), (84, 5));
    let tensors = model.parameters().named().unwrap();
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "conv1.bias",
            "conv1.weight",
            "conv2.bias",
            "conv2.weight",
            "fc.bias",
            "fc.weight",
            "fc1.bias",
            "fc1.weight",
            "fc2.bias",
            "fc2.weight"
        ]
    );
    assert_eq!(tensors.values().map(Tensor::elem_count).sum::<usize>(), 61_581);
}

#[test]
fn images_of_another_size_or_with_another_number_of_channels_are_refused_by_name() {
    let model = lenet();
    for shape in [&[4, 1, 32, 32][..], &[4, 3, 28, 28], &[4, 3, 32, 33], &[3, 32, 32], &[]] {
        let error = model.encode(&Inputs::Images(noise(0, shape, 1.0)), Mode::Eval).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "lenet takes images of shape (batch, 3, 32, 32), found {shape:?}; change the dataset's transform or \
                 the model"
            )
        );
    }
}

#[test]
fn text_is_refused_by_a_model_of_images() {
    let inputs = Inputs::Tokens([vec![0; 4]].into_iter().collect());
    let error = lenet().encode(&inputs, Mode::Eval).unwrap_err();
    assert_eq!(error.to_string(), "lenet takes images, found text; choose a model for this kind of data");
}

#[test]
fn one_image_and_none_at_all_are_batches_too() {
    let model = lenet();
    for batch in [0, 1] {
        let representations = model.encode(&images(batch), Mode::Eval).unwrap();
        let logits = model.classify(&representations, Mode::Eval).unwrap();
        assert_eq!(logits.dims(), [batch, 5]);
    }
}

#[test]
fn an_unknown_model_is_refused_with_the_nearest_name_and_all_of_them() {
    let Err(error) = build("LeNte", 5, 0, &Device::Cpu) else { panic!("there is no such model") };
    assert_eq!(
        error.to_string(),
        "unknown model \"LeNte\": did you mean \"lenet\"? Known models: bert, lenet, resnet18, resnet34, resnet50"
    );
}

#[test]
fn one_class_is_not_enough() {
    for classes in [0, 1] {
        assert!(matches!(LeNet::new(classes, 0, &Device::Cpu), Err(Error::TooFewClasses { .. })));
    }
}
