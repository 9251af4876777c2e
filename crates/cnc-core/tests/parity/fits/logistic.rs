//! Logistic regression, by hand and against scikit-learn.

use std::error::Error;

use cnc_core::Features;
use cnc_core::fits::{Labelled, LogisticOptions, Penalty};

use crate::reference::{Fixtures, apart};
use crate::samples::f64s;

type TestResult = Result<(), Box<dyn Error>>;

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exponentials: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

#[test]
fn logistic_regression_equals_scikit_learn() -> TestResult {
    let fixtures = Fixtures::load("logistic")?;
    for (name, classes) in [("three", 3), ("two", 2)] {
        let features = fixtures.floats(&format!("logistic.{name}.features"))?;
        let features = Features::new(&features, 5)?;
        let labels = fixtures.indices(&format!("logistic.{name}.labels"))?;
        for (penalty, penalty_name) in [(Penalty::L1, "l1"), (Penalty::L2, "l2")] {
            let case = format!("logistic.{name}.{penalty_name}");
            let head = LogisticOptions { penalty, c: 0.3 }.fit(&Labelled { features, labels: &labels, classes })?;
            let likelihoods: Vec<f64> = head.logits(&features)?.chunks(classes).flat_map(softmax).collect();
            let off = apart(&likelihoods, &fixtures.numbers(&format!("{case}.likelihoods"))?);
            assert!(off < 1e-5, "{case}: likelihoods off by {off:e}");
            let weight = f64s(&head.weight);
            let weight = match classes {
                2 => weight[5..].iter().zip(&weight[..5]).map(|(one, zero)| one - zero).collect(),
                _ => weight,
            };
            let off = apart(&weight, &fixtures.numbers(&format!("{case}.weight"))?);
            assert!(off < 1e-5, "{case}: weight off by {off:e}");
        }
    }
    Ok(())
}

#[test]
fn l1_makes_the_weights_of_useless_features_exactly_zero() -> TestResult {
    // The first feature tells the classes apart, the second is the same in both.
    let values = [1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0];
    let features = Features::new(&values, 2)?;
    let head = LogisticOptions { penalty: Penalty::L1, c: 1.0 }.fit(&Labelled {
        features,
        labels: &[0, 0, 1, 1],
        classes: 2,
    })?;
    assert!(head.weight[0] > 0.1 && head.weight[2] < -0.1, "{head:?}");
    assert_eq!((head.weight[1], head.weight[3]), (0.0, 0.0));
    assert_eq!(head.predict(&features)?, [0, 0, 1, 1]);
    // At the optimum the pull of the losses on each weight is C's share: 4 · ½ · (1-p) = 1 with p the likelihood.
    let likelihood = softmax(&head.logits(&features)?[..2])[0];
    assert!((4.0 * (1.0 - likelihood) - 1.0).abs() < 1e-5, "{likelihood}");
    Ok(())
}

#[test]
fn what_cannot_be_fitted_is_refused_by_name() -> TestResult {
    let values = [0.0f32, 1.0, 2.0, 3.0];
    let features = Features::new(&values, 1)?;
    let fit = |c, labels: &[u32], classes| {
        LogisticOptions { penalty: Penalty::L2, c }.fit(&Labelled { features, labels, classes }).map(|_| ())
    };
    for (error, expected) in [
        (Features::new(&values, 3).map(|_| ()), "features must have shape (rows, 3), found [4]"),
        (Features::new(&values, 0).map(|_| ()), "dim must be at least 1"),
        (Features::new(&[], 3).map(|_| ()), "there are no samples"),
        (Features::new(&[0.0, f32::NAN], 1).map(|_| ()), "a feature of row 1 is NaN"),
        (fit(1.0, &[0, 1, 0], 2), "features has 4 rows but labels has 3"),
        (fit(1.0, &[0, 1, 0, 2], 2), "row 3 has label 2"),
        (fit(1.0, &[0, 1, 0, 1], 3), "class 2 has no samples to fit on"),
        (fit(0.0, &[0, 1, 0, 1], 2), "c must be a finite"),
    ] {
        let error = error.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}
