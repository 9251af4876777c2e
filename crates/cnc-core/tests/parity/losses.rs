//! Cross-entropy and its variants against PyTorch in f64, and what they refuse.

use std::error::Error;

use candle_core::{DType, Device, Tensor, Var};
use cnc_core::cross_entropy;
use cnc_core::losses::{
    cross_entropy_per_sample, focal_loss_per_sample, mixed_cross_entropy_per_sample, smoothed_cross_entropy_per_sample,
    weighted_mean,
};

use crate::reference::Fixtures;
use crate::tensors::{Loss, distance, losses, losses_and_gradients_equal};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn cross_entropy_and_its_gradients_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("cross_entropy")?;
    let labels = fixtures.get("cross_entropy.labels")?;
    let logits = Var::from_tensor(fixtures.get("cross_entropy.logits")?)?;

    let mean = cross_entropy(&logits, labels)?;
    assert!(distance(&mean, fixtures.get("cross_entropy.mean.loss")?)? < 1e-6);
    let gradients = mean.backward()?;
    let gradient = gradients.get(&logits).ok_or("no gradient")?;
    assert!(distance(gradient, fixtures.get("cross_entropy.mean.grad")?)? < 1e-6);

    let losses = cross_entropy_per_sample(&logits, labels)?;
    assert!(distance(&losses, fixtures.get("cross_entropy.per_sample.loss")?)? < 1e-6);
    let gradients = (losses * fixtures.get("cross_entropy.weights")?)?.sum_all()?.backward()?;
    let gradient = gradients.get(&logits).ok_or("no gradient")?;
    assert!(distance(gradient, fixtures.get("cross_entropy.per_sample.grad")?)? < 1e-6);
    Ok(())
}

#[test]
fn losses_of_single_samples_and_their_gradients_equal_pytorch() -> TestResult {
    let cases: [(&str, Loss); 4] = [
        ("smoothed", |x, y, _| smoothed_cross_entropy_per_sample(x, y, 0.1)),
        ("focal_2", |x, y, _| focal_loss_per_sample(x, y, 2.0)),
        ("focal_half", |x, y, _| focal_loss_per_sample(x, y, 0.5)),
        ("mixed", |x, y, other| mixed_cross_entropy_per_sample(x, y, other, 0.3)),
    ];
    let fixtures = Fixtures::load("variants")?;
    losses_and_gradients_equal(&fixtures, fixtures.get("sample.other")?, &cases)
}

#[test]
fn the_mean_by_class_weights_equals_pytorchs_weighted_cross_entropy() -> TestResult {
    let fixtures = Fixtures::load("variants")?;
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
fn labels_of_every_dtype_of_whole_numbers_are_the_same_labels() -> TestResult {
    let logits = Tensor::new(&[[2f32, -1.0, 0.5], [0.0, 9.0, -3.0]], &Device::Cpu)?;
    let labels = Tensor::new(&[0u32, 2], &Device::Cpu)?;
    for loss in [
        cross_entropy_per_sample,
        |x: &Tensor, y: &Tensor| focal_loss_per_sample(x, y, 2.0),
        |x: &Tensor, y: &Tensor| smoothed_cross_entropy_per_sample(x, y, 0.1),
        |x: &Tensor, y: &Tensor| mixed_cross_entropy_per_sample(x, y, y, 0.3),
    ] {
        let expected = loss(&logits, &labels)?.to_vec1::<f32>()?;
        for dtype in [DType::U8, DType::I64] {
            assert_eq!(loss(&logits, &labels.to_dtype(dtype)?)?.to_vec1::<f32>()?, expected, "{dtype:?}");
        }
        let refused = |labels: &Tensor| loss(&logits, labels).expect_err("refused").to_string();
        let floats = labels.to_dtype(DType::F32)?;
        assert_eq!(refused(&floats), "labels must have dtype u32, u8 or i64, found f32");
        let ignored = Tensor::new(&[0i64, -100], &Device::Cpu)?;
        assert_eq!(refused(&ignored), "row 1 has label -100, expected a class from 0 to 2 (3 classes)");
        let wrapped = Tensor::new(&[1i64 << 32, 0], &Device::Cpu)?;
        assert_eq!(refused(&wrapped), "row 0 has label 4294967296, expected a class from 0 to 2 (3 classes)");
    }
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
        (weighted_mean(&losses(&[1.0]), &[0.0]), "sum of the weights of the losses must be a finite number above 0"),
        (weighted_mean(&losses(&[1.0]), &[-1.0]), "weight of a loss must be at least 0, not -1"),
        (weighted_mean(&losses(&[1.0]), &[]), "losses has 1 rows but weights has 0"),
    ] {
        let found = text(found);
        assert!(found.starts_with(expected), "{found}");
    }
    Ok(())
}
