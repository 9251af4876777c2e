//! Learning from failure: by hand, and against PyTorch and NumPy.

use std::error::Error;

use candle_core::{Device, Tensor};
use cnc_core::methods::{LossAverages, difficulty, generalised_cross_entropy_per_sample};

use crate::reference::{Fixtures, apart};
use crate::tensors::losses_and_gradients_equal;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn generalised_cross_entropy_and_its_gradient_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("lff")?;
    let labels = fixtures.get("sample.labels")?;
    losses_and_gradients_equal(
        &fixtures,
        labels,
        &[("generalised", |x, y, _| generalised_cross_entropy_per_sample(x, y, 0.7))],
    )
}

#[test]
fn moving_averages_of_losses_and_the_weights_they_make_equal_numpy() -> TestResult {
    let fixtures = Fixtures::load("lff")?;
    let labels = fixtures.indices("lff.labels")?;
    let batches = fixtures.get("lff.batches")?.to_vec2::<u32>()?;
    let last = batches.last().ok_or("no batches")?;
    let mut weights = Vec::new();
    for model in ["biased", "debiased"] {
        let mut averages = LossAverages::new(&labels, 3, 0.7)?;
        let losses = fixtures.get(&format!("lff.{model}.losses"))?.to_vec2::<f32>()?;
        for (rows, losses) in batches.iter().zip(&losses) {
            averages.update(rows, losses)?;
        }
        let expected = fixtures.numbers(&format!("lff.{model}.averages"))?;
        assert!(expected.iter().all(|average| *average > 0.0)); // every row came at least once
        assert!(apart(averages.state(), &expected) < 1e-12);
        let of_last = averages.normalised(last)?;
        assert!(apart(&of_last, &fixtures.numbers(&format!("lff.{model}.last"))?) < 1e-12);
        weights.push(of_last);
    }
    assert!(apart(&difficulty(&weights[0], &weights[1])?, &fixtures.numbers("lff.difficulty")?) < 1e-12);
    Ok(())
}

#[test]
fn averages_are_restored_to_the_same_bits_and_unseen_rows_stay_unseen() -> TestResult {
    let mut averages = LossAverages::new(&[0, 1, 1, 0], 2, 0.7)?;
    averages.update(&[1, 3], &[0.3, 7.0])?;
    assert_eq!(averages.state(), [-1.0, f64::from(0.3f32), -1.0, 7.0]);
    assert_eq!(averages.normalised(&[0, 1, 2])?, [0.0, 1.0, 0.0]);
    let mut resumed = LossAverages::new(&[0, 1, 1, 0], 2, 0.7)?;
    resumed.set_state(averages.state())?;
    for averages in [&mut averages, &mut resumed] {
        averages.update(&[0, 1], &[0.1, 0.9])?;
    }
    assert_eq!(resumed, averages);
    Ok(())
}

#[test]
fn a_class_that_is_learnt_perfectly_has_weight_zero_and_not_nan() -> TestResult {
    let mut averages = LossAverages::new(&[0, 1], 2, 0.7)?;
    averages.update(&[0, 1], &[0.0, 1.0])?;
    let normalised = averages.normalised(&[0, 1])?;
    assert_eq!(normalised, [0.0, 1.0]);
    assert_eq!(difficulty(&normalised, &[0.0, 0.0])?[0], 0.0);
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_by_name() -> TestResult {
    let logits = Tensor::new(&[[0f32, 1.0]], &Device::Cpu)?;
    let labels = Tensor::new(&[1u32], &Device::Cpu)?;
    let found = generalised_cross_entropy_per_sample(&logits, &labels, 0.0).expect_err("refused").to_string();
    assert!(found.starts_with("q must be above 0 and at most 1, not 0"), "{found}");
    let mut averages = LossAverages::new(&[0, 1], 2, 0.7)?;
    let before = averages.clone();
    assert!(averages.update(&[0, 2], &[1.0, 1.0]).is_err());
    assert!(averages.update(&[0, 1], &[1.0, -1.0]).is_err());
    assert!(averages.set_state(&[0.0, -0.5]).is_err());
    assert!(averages.set_state(&[0.0]).is_err());
    assert_eq!(averages, before);
    assert!(LossAverages::new(&[0, 2], 2, 0.7).is_err());
    assert!(LossAverages::new(&[0], 1, 1.0).is_err());
    Ok(())
}
