//! Ten steps of training are those of PyTorch.

use candle_core::{Device, Tensor};
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides, cross_entropy};
use cnc_models::{Mode, Model, Pooling};
use cnc_nn::optim::{AdamW, AdamWOptions, Gradients, Optimizer, ParameterGroup, Schedule};

use super::common::{BERT, difference, filled, options, texts, values};
use super::shared::fixture;

const STEPS: u64 = 10;
const RATE: f64 = 1e-3;

fn labels(labels: Vec<u32>) -> Tensor {
    Tensor::new(labels, &Device::Cpu).unwrap()
}

fn lengths(count: usize, step: u64) -> Vec<usize> {
    (0..count).map(|b| 2 + (b + step as usize) % 6).collect()
}

fn erm(model: &dyn Model, step: u64) -> Tensor {
    let z = model.encode(&texts(&lengths(4, step), step as usize), Mode::Eval).unwrap();
    let labels = labels((0..4).map(|b| (b + step as u32) % 2).collect());
    cross_entropy(&model.classify(&z, Mode::Eval).unwrap(), &labels).unwrap()
}

/// Published Correct-N-Contrast of two anchors, positives, negatives and easy negatives each.
fn cnc(model: &dyn Model, step: u64) -> Tensor {
    let options = ContrastiveOptions { temperature: 0.1, sides: Sides::Two, contrast: Contrast::Published };
    let z = model.encode(&texts(&lengths(8, step), step as usize), Mode::Eval).unwrap();
    let contrast = ContrastiveLoss::new(options).unwrap().forward(&Parts::split(&z, [2; 4]).unwrap()).unwrap();
    let logits = model.classify(&z, Mode::Eval).unwrap();
    let cross_entropy = cross_entropy(&logits, &labels(vec![0, 0, 0, 0, 1, 1, 1, 1])).unwrap();
    ((contrast * 0.75).unwrap() + (cross_entropy * 0.25).unwrap()).unwrap()
}

fn assert_steps(name: &str, objective: fn(&dyn Model, u64) -> Tensor) {
    let fixture = fixture("bert_steps");
    let model = filled(&options(BERT, Pooling::Pooler));
    let parameters = model.trainable();
    let (decayed, others) =
        parameters.iter().cloned().partition(|(n, _)| !n.ends_with("bias") && !n.contains("LayerNorm"));
    let group = |parameters, weight_decay| ParameterGroup { parameters, weight_decay, lr_scale: 1.0 };
    let groups = vec![group(decayed, 0.01), group(others, 0.0)];
    let mut optimizer = AdamW::new(groups, AdamWOptions::default()).unwrap();
    let schedule = Schedule::LinearWithWarmup { warmup: 0, steps: STEPS };
    let losses = values(&fixture[&format!("{name}.losses")]);
    for (step, expected) in (0..STEPS).zip(losses) {
        let loss = objective(&model, step);
        let ours = loss.to_scalar::<f32>().unwrap();
        assert!(
            (ours - expected).abs() <= 1e-4 * expected.abs(),
            "loss of step {step}: {ours}, PyTorch has {expected}"
        );
        let mut gradients = Gradients::of(&loss, &parameters).unwrap();
        gradients.clip(1.0).unwrap();
        optimizer.step(&gradients, RATE * schedule.factor(step)).unwrap();
    }
    for (parameter, var) in &parameters {
        let expected = &fixture[&format!("{name}.{parameter}")];
        let difference = difference(var.as_tensor(), expected);
        // The gradient of the keys' bias is rounding alone, which AdamW divides by its own size: each step may go either way.
        let bound = if parameter.ends_with("key.bias") { 0.04 } else { 1e-3 };
        assert!(difference < bound, "{parameter}: differs by {difference}");
    }
}

#[test]
fn ten_steps_of_cross_entropy_are_those_of_pytorch() {
    assert_steps("erm", erm);
}

#[test]
fn ten_steps_of_correct_n_contrast_are_those_of_pytorch() {
    assert_steps("cnc", cnc);
}
