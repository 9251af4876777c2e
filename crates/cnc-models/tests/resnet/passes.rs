//! One pass forward and backward.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use cnc_models::{Mode, Model, build};
use cnc_nn::optim::Gradients;

use crate::common::fixture;
use crate::formula::{assert_row, assert_rows, images, set, statistics};

/// Loss, and the gradient of every parameter.
fn backward(model: &dyn Model, representations: &Tensor, mode: Mode) -> (Tensor, Tensor, BTreeMap<String, Tensor>) {
    let logits = model.classify(representations, mode).unwrap();
    let labels = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
    let loss = candle_nn::loss::cross_entropy(&logits, &labels).unwrap();
    let parameters = model.parameters().trainable();
    let gradients = Gradients::of(&loss, &parameters).unwrap();
    let gradients = parameters.into_iter().map(|(name, _)| {
        let gradient = gradients.get(&name).unwrap().unwrap();
        (name, gradient)
    });
    (logits, loss, gradients.collect())
}

fn check(architecture: &str, mode: Mode) {
    const TOLERANCE: f64 = 1e-4;
    let fixture = fixture("resnet");
    let model = build(architecture, 2, 0, &Device::Cpu).unwrap();
    set(&*model);
    let key = |what: &str| {
        let mode = if mode == Mode::Eval { "eval" } else { "train" };
        format!("{architecture}.{mode}.{what}")
    };
    let before = statistics(&*model);
    let representations = model.encode(&images(1000, 2), mode).unwrap();
    let (logits, loss, gradients) = backward(&*model, &representations, mode);
    let theirs = |what: &str| fixture[&key(what)].to_vec1::<f32>().unwrap();
    let name = key("representations");
    assert_row(&name, 0, &representations, &theirs("representations"), TOLERANCE);
    let relative = |ours: &Tensor, theirs: &Tensor| {
        let difference = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        difference / theirs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    };
    assert!(relative(&logits, &fixture[&key("logits")]) < TOLERANCE as f32, "{}", key("logits"));
    assert!(relative(&loss.reshape(1).unwrap(), &fixture[&key("loss")]) < TOLERANCE as f32, "{}", key("loss"));
    assert_rows(&key("gradients"), &gradients, &fixture[&key("gradients")], TOLERANCE);

    let after = statistics(&*model);
    if mode == Mode::Eval {
        for (name, before) in before {
            assert_eq!(before.to_vec1::<f32>().unwrap(), after[&name].to_vec1::<f32>().unwrap(), "{name}");
        }
    } else {
        assert_rows(&key("statistics"), &after, &fixture[&key("statistics")], TOLERANCE);
    }
}

#[test]
fn resnet_18_has_the_values_gradients_and_running_statistics_of_torchvisions_in_training() {
    check("resnet18", Mode::Train { seed: 0 });
}

#[test]
fn resnet_18_has_the_values_and_gradients_of_torchvisions_in_evaluation() {
    check("resnet18", Mode::Eval);
}

#[test]
fn resnet_50_has_the_values_gradients_and_running_statistics_of_torchvisions_in_training() {
    check("resnet50", Mode::Train { seed: 0 });
}

#[test]
fn resnet_50_has_the_values_and_gradients_of_torchvisions_in_evaluation() {
    check("resnet50", Mode::Eval);
}

#[test]
fn every_variable_of_a_fresh_network_gets_a_gradient_that_is_not_zero() {
    for (architecture, parameters) in [("resnet18", 62), ("resnet34", 110), ("resnet50", 161)] {
        for mode in [Mode::Train { seed: 0 }, Mode::Eval] {
            let model = build(architecture, 2, 0, &Device::Cpu).unwrap();
            let (_, _, gradients) = backward(&*model, &model.encode(&images(0, 2), mode).unwrap(), mode);
            assert_eq!(gradients.len(), parameters);
            for (name, gradient) in gradients {
                let sum = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(sum > 0.0, "{name} of {architecture} gets no gradient in {mode:?}");
            }
        }
    }
}
