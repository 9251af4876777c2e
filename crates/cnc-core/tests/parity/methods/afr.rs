//! Automatic feature reweighting, by hand and against PyTorch.

use std::error::Error;

use cnc_core::Features;
use cnc_core::fits::LinearHead;
use cnc_core::methods::{AfrOptions, HeldOut};

use crate::reference::{Fixtures, apart};
use crate::samples::{f64s, shortcut_features};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn afr_after_300_steps_equals_pytorch() -> TestResult {
    let fixtures = Fixtures::load("afr")?;
    let features = fixtures.floats("afr.features")?;
    let labels = fixtures.indices("afr.labels")?;
    let head = LinearHead { weight: fixtures.floats("afr.weight")?, bias: fixtures.floats("afr.bias")? };
    let options = AfrOptions { gamma: 4.0, pull: 0.2, learning_rate: 0.01, steps: 300, clip_norm: f64::INFINITY };
    let samples = HeldOut { features: Features::new(&features, 4)?, labels: &labels, head: &head };
    let mut afr = options.start(&samples)?;
    assert_eq!(afr.head(), head);
    let off = apart(afr.weights(), &fixtures.numbers("afr.weights")?);
    assert!(off < 1e-6, "weights off by {off:e}"); // the first model's logits are f32
    afr.descend(100);
    afr.descend(200);
    let found = afr.head();
    assert_eq!(options.fit(&samples)?, found);
    for (found, name) in [(found.weight, "weight"), (found.bias, "bias")] {
        let off = apart(&f64s(&found), &fixtures.numbers(&format!("afr.after_300_steps.{name}"))?);
        assert!(off < 1e-6, "{name} off by {off:e}");
    }
    assert!(apart(&[afr.loss()], &fixtures.numbers("afr.after_300_steps.loss")?) < 1e-6);
    Ok(())
}

#[test]
fn five_clipped_steps_of_afr_equal_pytorch() -> TestResult {
    let (fixtures, steps) = (Fixtures::load("afr")?, Fixtures::load("steps")?);
    let features = fixtures.floats("afr.features")?;
    let labels = fixtures.indices("afr.labels")?;
    let head = LinearHead { weight: fixtures.floats("afr.weight")?, bias: fixtures.floats("afr.bias")? };
    let options = AfrOptions { gamma: 4.0, pull: 0.2, learning_rate: 0.5, steps: 5, clip_norm: 1.0 };
    let found = options.fit(&HeldOut { features: Features::new(&features, 4)?, labels: &labels, head: &head })?;
    let clipped = steps.numbers("steps.afr.norms")?.iter().filter(|norm| **norm > 1.0).count();
    assert!(clipped > 0 && clipped < 5, "{clipped} of 5 steps are clipped: the fixture shows one of the two only");
    for (found, name) in [(found.weight, "weight"), (found.bias, "bias")] {
        let off = apart(&f64s(&found), &steps.numbers(&format!("steps.afr.{name}"))?);
        assert!(off < 1e-6, "{name} off by {off:e}");
    }
    Ok(())
}

#[test]
fn afr_weighs_by_what_the_first_model_does_not_believe_and_by_the_class() -> TestResult {
    // Likelihoods of the labels: ½ everywhere but in row 3, which the head is sure is of class 0.
    let values = [0.0, 0.0, 0.0, 50.0];
    let head = LinearHead { weight: vec![1.0, -1.0], bias: vec![0.0, 0.0] };
    let weights = |gamma: f64| {
        let options = AfrOptions { gamma, pull: 0.0, learning_rate: 0.01, steps: 300, clip_norm: f64::INFINITY };
        let samples = HeldOut { features: Features::new(&values, 1)?, labels: &[0, 0, 1, 1], head: &head };
        Ok::<_, cnc_core::Error>(options.start(&samples)?.weights().to_vec())
    };
    assert!(apart(&weights(0.0)?, &[0.25; 4]) < 1e-12);
    let halves = (2f64 * 3f64.ln() * -0.5).exp(); // a third, at γ = 2 ln 3
    let total = 3.0 * halves + 1.0;
    let expected = [halves / total, halves / total, halves / total, 1.0 / total];
    assert!(apart(&weights(2.0 * 3f64.ln())?, &expected) < 1e-12);
    assert!(apart(&weights(1e6)?, &[0.0, 0.0, 0.0, 1.0]) < 1e-12); // and no underflow
    Ok(())
}

#[test]
fn a_strong_pull_keeps_afr_at_the_first_models_head() -> TestResult {
    let (values, labels, _) = shortcut_features(20, 2);
    let features = Features::new(&values, 3)?;
    let head = LinearHead { weight: vec![-1.0, 0.0, 0.0, 1.0, 0.0, 0.0], bias: vec![0.0; 2] };
    let moved = |pull: f64| {
        let options = AfrOptions { gamma: 5.0, pull, learning_rate: 0.01, steps: 500, clip_norm: f64::INFINITY };
        let mut afr = options.start(&HeldOut { features, labels: &labels, head: &head })?;
        let before = afr.loss();
        afr.descend(500);
        assert!(afr.loss() < before);
        let now = f64s(&afr.head().weight);
        Ok::<_, cnc_core::Error>(
            now.iter().zip(f64s(&head.weight)).map(|(now, then)| (now - then).powi(2)).sum::<f64>(),
        )
    };
    let (free, held) = (moved(0.0)?, moved(10.0)?);
    assert!(held < 0.01 * free, "{held} against {free}");
    Ok(())
}

#[test]
fn what_cannot_be_fitted_is_refused_by_name() -> TestResult {
    let values = [0.0f32, 1.0, 2.0, 3.0];
    let features = Features::new(&values, 1)?;
    let head = LinearHead { weight: vec![1.0; 4], bias: vec![0.0; 2] };
    let options = AfrOptions { gamma: 1.0, pull: 0.0, learning_rate: 0.1, steps: 1, clip_norm: f64::INFINITY };
    let error = options.start(&HeldOut { features, labels: &[0, 1, 0, 1], head: &head }).expect_err("refused");
    assert!(error.to_string().starts_with("weight of the head must have shape (classes, 1)"), "{error}");
    Ok(())
}
