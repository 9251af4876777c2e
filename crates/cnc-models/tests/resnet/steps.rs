//! Ten steps of training.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides, cross_entropy};
use cnc_models::{Inputs, Mode, Model, build};
use cnc_nn::optim::{Gradients, Optimizer, ParameterGroup, Sgd, SgdOptions};

use crate::common::fixture;
use crate::formula::{assert_rows, images, set, statistics};

const STEPS: usize = 10;
const TRAIN: Mode = Mode::Train { seed: 0 };

fn labels(labels: [u32; 8]) -> Tensor {
    Tensor::new(&labels, &Device::Cpu).unwrap()
}

/// Trains ResNet-50 on the batches and with the optimiser of the script, and compares what comes out.
fn check(name: &str, weight_decay: f64, loss_of: impl Fn(&dyn Model, &Inputs) -> Tensor) {
    let fixture = fixture("resnet_steps");
    let model = build("resnet50", 2, 0, &Device::Cpu).unwrap();
    set(&*model);
    let trained = || -> BTreeMap<String, Tensor> {
        let mut named = model.parameters().named().unwrap();
        let parameters: BTreeMap<_, _> = model.parameters().trainable().into_iter().collect();
        named.retain(|name, _| parameters.contains_key(name));
        named
    };
    let before = trained();
    let parameters = model.parameters().trainable();
    let group = ParameterGroup { parameters: parameters.clone(), weight_decay, lr_scale: 1.0 };
    let mut optimizer = Sgd::new(vec![group], SgdOptions { momentum: 0.9, nesterov: false }).unwrap();
    let losses = fixture[&format!("{name}.losses")].to_vec1::<f32>().unwrap();
    let salts = fixture[&format!("{name}.salts")].to_vec1::<i64>().unwrap();
    assert_eq!((losses.len(), salts.len()), (STEPS, STEPS));
    for (step, (theirs, salt)) in losses.into_iter().zip(salts).enumerate() {
        let loss = loss_of(&*model, &images(salt as u64, 8));
        let gradients = Gradients::of(&loss, &parameters).unwrap();
        optimizer.step(&gradients, 1e-4).unwrap();
        let ours = loss.to_scalar::<f32>().unwrap();
        assert!((ours / theirs - 1.0).abs() < 1e-4, "{name}, step {step}: loss {ours}, PyTorch has {theirs}");
    }
    let after = trained();
    assert_rows(name, &after, &fixture[&format!("{name}.parameters")], 1e-3);
    assert_rows(name, &statistics(&*model), &fixture[&format!("{name}.statistics")], 1e-3);
    // Most of a parameter is its first value: how far it moved is the harder figure. Each step rounds the parameter.
    let moved = fixture[&format!("{name}.moved")].to_vec1::<f32>().unwrap();
    let norm = |tensor: &Tensor| tensor.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    for ((parameter, after), theirs) in after.iter().zip(moved) {
        let ours = norm(&(after - &before[parameter]).unwrap());
        let rounding = STEPS as f32 * f32::EPSILON / 2.0 * norm(after);
        let difference = (ours - theirs).abs();
        assert!(difference < 1e-3 * theirs + rounding, "{name}: {parameter} moved by {ours}, in PyTorch by {theirs}");
    }
}

#[test]
fn ten_steps_of_erm_end_where_pytorchs_do() {
    check("erm", 1e-4, |model, images| {
        let representations = model.encode(images, TRAIN).unwrap();
        let logits = model.classify(&representations, TRAIN).unwrap();
        cross_entropy(&logits, &labels([0, 1, 0, 1, 0, 1, 0, 1])).unwrap()
    });
}

#[test]
fn ten_steps_of_correct_n_contrast_end_where_pytorchs_do() {
    let options = ContrastiveOptions { temperature: 0.1, sides: Sides::Two, contrast: Contrast::Published };
    let contrastive = ContrastiveLoss::new(options).unwrap();
    check("cnc", 1e-3, |model, images| {
        let representations = model.encode(images, Mode::Eval).unwrap();
        let logits = model.classify(&representations, TRAIN).unwrap();
        let supervised = cross_entropy(&logits, &labels([0, 0, 0, 0, 1, 1, 1, 1])).unwrap();
        let contrastive = contrastive.forward(&Parts::split(&representations, [2; 4]).unwrap()).unwrap();
        ((contrastive * 0.75).unwrap() + (supervised * 0.25).unwrap()).unwrap()
    });
}
