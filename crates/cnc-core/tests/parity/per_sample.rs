//! Losses of single samples, learning from failure and CVaR: by hand, and against PyTorch and NumPy.

use std::error::Error;

use crate::common::{Fixtures, apart};
use crate::tensors::distance;
use candle_core::{DType, Device, Tensor, Var};
use cnc_core::{
    LossAverages, class_balanced_cross_entropy, cross_entropy_per_sample, cvar, difficulty, focal_loss_per_sample,
    generalised_cross_entropy_per_sample, mixed_cross_entropy_per_sample, smoothed_cross_entropy_per_sample,
    weighted_mean,
};

type TestResult = Result<(), Box<dyn Error>>;
type Loss = fn(&Tensor, &Tensor, &Tensor) -> cnc_core::Result<Tensor>;

fn losses(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).expect("a tensor")
}

#[test]
fn losses_of_single_samples_and_their_gradients_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let (labels, other) = (fixtures.get("sample.labels")?, fixtures.get("sample.other")?);
    let weights = fixtures.get("sample.weights")?;
    let cases: [(&str, Loss); 5] = [
        ("smoothed", |x, y, _| smoothed_cross_entropy_per_sample(x, y, 0.1)),
        ("focal_2", |x, y, _| focal_loss_per_sample(x, y, 2.0)),
        ("focal_half", |x, y, _| focal_loss_per_sample(x, y, 0.5)),
        ("mixed", |x, y, other| mixed_cross_entropy_per_sample(x, y, other, 0.3)),
        ("generalised", |x, y, _| generalised_cross_entropy_per_sample(x, y, 0.7)),
    ];
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
        for (name, loss) in cases {
            let logits = Var::from_tensor(&fixtures.get("sample.logits")?.to_dtype(dtype)?)?;
            let found = loss(&logits, labels, other)?;
            let off = distance(&found, fixtures.get(&format!("sample.{name}.loss"))?)?;
            assert!(off < tolerance, "{name} in {dtype:?}: off by {off:e}");
            let gradients = (found * weights.to_dtype(dtype)?)?.sum_all()?.backward()?;
            let gradient = gradients.get(&logits).ok_or("no gradient")?;
            let off = distance(gradient, fixtures.get(&format!("sample.{name}.grad"))?)?;
            assert!(off < tolerance, "gradient of {name} in {dtype:?}: off by {off:e}");
        }
    }
    Ok(())
}

#[test]
fn the_mean_by_class_weights_equals_pytorchs_weighted_cross_entropy() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let labels = fixtures.get("sample.labels")?;
    let of_class = fixtures.numbers("sample.class_weights")?;
    let weights: Vec<f64> = labels.to_vec1::<u32>()?.into_iter().map(|label| of_class[label as usize]).collect();
    let logits = Var::from_tensor(fixtures.get("sample.logits")?)?;
    let loss = weighted_mean(&cross_entropy_per_sample(&logits, labels)?, &weights)?;
    assert!(distance(&loss, fixtures.get("sample.class_weighted.loss")?)? < 1e-6);
    let gradients = loss.backward()?;
    let gradient = gradients.get(&logits).ok_or("no gradient")?;
    assert!(distance(gradient, fixtures.get("sample.class_weighted.grad")?)? < 1e-6);
    Ok(())
}

#[test]
fn every_class_counts_the_same_in_the_class_balanced_loss_as_in_pytorch() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let logits = Var::from_tensor(fixtures.get("sample.logits")?)?;
    let loss = class_balanced_cross_entropy(&logits, fixtures.get("sample.labels")?)?;
    assert!(distance(&loss, fixtures.get("sample.class_balanced.loss")?)? < 1e-6);
    let gradients = loss.backward()?;
    let gradient = gradients.get(&logits).ok_or("no gradient")?;
    assert!(distance(gradient, fixtures.get("sample.class_balanced.grad")?)? < 1e-6);
    Ok(())
}

#[test]
fn variants_without_their_effect_are_cross_entropy() -> TestResult {
    let logits = Tensor::new(&[[2f32, -1.0, 0.5], [0.0, 90.0, -3.0]], &Device::Cpu)?;
    let labels = Tensor::new(&[0u32, 2], &Device::Cpu)?;
    let other = Tensor::new(&[1u32, 1], &Device::Cpu)?;
    let plain = cross_entropy_per_sample(&logits, &labels)?.to_vec1::<f32>()?;
    assert_eq!(smoothed_cross_entropy_per_sample(&logits, &labels, 0.0)?.to_vec1::<f32>()?, plain);
    assert_eq!(focal_loss_per_sample(&logits, &labels, 0.0)?.to_vec1::<f32>()?, plain);
    assert_eq!(mixed_cross_entropy_per_sample(&logits, &labels, &other, 1.0)?.to_vec1::<f32>()?, plain);
    Ok(())
}

#[test]
fn cvar_and_its_gradient_equal_its_definition_in_pytorch() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    for alpha in ["0.05", "0.1", "0.25", "0.5", "1.0"] {
        let values = Var::from_tensor(fixtures.get("cvar.losses")?)?;
        let loss = cvar(&values, alpha.parse()?)?;
        let off = distance(&loss, fixtures.get(&format!("cvar.{alpha}.loss"))?)?;
        assert!(off < 1e-6, "alpha {alpha}: off by {off:e}");
        let gradients = loss.backward()?;
        let off = distance(gradients.get(&values).ok_or("no gradient")?, fixtures.get(&format!("cvar.{alpha}.grad"))?)?;
        assert!(off < 1e-6, "alpha {alpha}: gradient off by {off:e}");
    }
    Ok(())
}

#[test]
fn cvar_of_equal_losses_is_that_loss() -> TestResult {
    for alpha in [0.01, 0.3, 0.77, 1.0] {
        let value = cvar(&losses(&[2.0; 7]), alpha)?.to_scalar::<f32>()?;
        assert!((value - 2.0).abs() < 1e-6, "alpha {alpha}: {value}");
    }
    Ok(())
}

#[test]
fn moving_averages_of_losses_and_the_weights_they_make_equal_numpy() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
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
    let text = |result: cnc_core::Result<Tensor>| result.expect_err("refused").to_string();
    let logits = Tensor::new(&[[0f32, 1.0]], &Device::Cpu)?;
    let labels = Tensor::new(&[1u32], &Device::Cpu)?;
    for (found, expected) in [
        (smoothed_cross_entropy_per_sample(&logits, &labels, 1.5), "smoothing must be in [0, 1], not 1.5"),
        (focal_loss_per_sample(&logits, &labels, -1.0), "gamma must be a finite number of at least 0, not -1"),
        (mixed_cross_entropy_per_sample(&logits, &labels, &labels, f64::NAN), "lambda must be in [0, 1], not NaN"),
        (generalised_cross_entropy_per_sample(&logits, &labels, 0.0), "q must be above 0 and at most 1, not 0"),
        (cvar(&losses(&[1.0]), 0.0), "alpha must be above 0 and at most 1, not 0"),
        (cvar(&losses(&[1.0, f32::INFINITY]), 0.5), "the loss of row 1 is inf"),
        (cvar(&logits, 0.5), "losses must have shape (batch,)"),
        (weighted_mean(&losses(&[1.0]), &[0.0]), "sum of the weights of the losses must be a finite number above 0"),
        (weighted_mean(&losses(&[1.0]), &[-1.0]), "weight of a loss must be at least 0, not -1"),
        (weighted_mean(&losses(&[1.0]), &[]), "losses has 1 rows but weights has 0"),
    ] {
        let found = text(found);
        assert!(found.starts_with(expected), "{found}");
    }
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
