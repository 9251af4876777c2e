//! XRM's loss against PyTorch, its flips and its groups by hand.

use std::error::Error;

use candle_core::{DType, Var};
use cnc_core::methods::{class_balanced_cross_entropy, environment_groups, flip_probability};

use crate::reference::Fixtures;
use crate::tensors::distance;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn every_class_counts_the_same_in_the_class_balanced_loss_as_in_pytorch() -> TestResult {
    let fixtures = Fixtures::load("xrm")?;
    let logits = Var::from_tensor(fixtures.get("sample.logits")?)?;
    let loss = class_balanced_cross_entropy(&logits, fixtures.get("sample.labels")?)?;
    assert!(distance(&loss, fixtures.get("sample.class_balanced.loss")?)? < 1e-6);
    let gradients = loss.backward()?;
    let gradient = gradients.get(&logits).ok_or("no gradient")?;
    assert!(distance(gradient, fixtures.get("sample.class_balanced.grad")?)? < 1e-6);
    Ok(())
}

#[test]
fn labels_of_every_dtype_of_whole_numbers_are_the_same_labels() -> TestResult {
    let fixtures = Fixtures::load("xrm")?;
    let (logits, labels) = (fixtures.get("sample.logits")?, fixtures.get("sample.labels")?);
    let value = |dtype| {
        Ok::<_, Box<dyn Error>>(class_balanced_cross_entropy(logits, &labels.to_dtype(dtype)?)?.to_scalar::<f32>()?)
    };
    assert_eq!(value(DType::I64)?, value(DType::U32)?);
    Ok(())
}

#[test]
fn a_guess_never_flips_a_label_and_certainty_always_does() {
    assert_eq!(flip_probability(0.2, 5), 0.0);
    assert!((flip_probability(0.6, 5) - 0.5).abs() < 1e-12);
    assert_eq!(flip_probability(1.0, 5), 1.0);
    assert_eq!(flip_probability(1.0, 1), 0.0);
}

#[test]
fn environments_that_do_not_fit_are_refused() {
    assert!(environment_groups(&[1], &[]).is_err());
    assert!(environment_groups(&[u32::MAX], &[true]).is_err());
}
