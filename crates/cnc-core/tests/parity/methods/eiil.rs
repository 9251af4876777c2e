//! Environments inferred by EIIL, by hand and against PyTorch's double backward.

use std::error::Error;

use cnc_core::methods::{EiilOptions, ReferenceLogits, irm_penalty, scale_gradients};

use crate::reference::{Fixtures, apart};
use crate::samples::rng;

type TestResult = Result<(), Box<dyn Error>>;

fn fixture_gradients(fixtures: &Fixtures) -> Result<Vec<f64>, Box<dyn Error>> {
    let (logits, labels) = (fixtures.floats("eiil.logits")?, fixtures.indices("eiil.labels")?);
    Ok(scale_gradients(&ReferenceLogits { logits: &logits, classes: 3, labels: &labels })?)
}

fn gradients(logits: &[f32], labels: &[u32]) -> cnc_core::Result<Vec<f64>> {
    scale_gradients(&ReferenceLogits { logits, classes: 2, labels })
}

fn environments(logits: &[f32], labels: &[u32], options: EiilOptions, seed: u64) -> cnc_core::Result<Vec<bool>> {
    Ok(options.fit(&ReferenceLogits { logits, classes: 2, labels }, &mut rng(seed))?.predict())
}

#[test]
fn the_penalty_and_its_gradient_equal_pytorchs_double_backward() -> TestResult {
    let fixtures = Fixtures::load("eiil")?;
    let of_scale = fixture_gradients(&fixtures)?;
    let sum: f64 = of_scale.iter().sum();
    assert!(apart(&[sum], &fixtures.numbers("eiil.scale_gradient_sum")?) < 1e-12);

    let (penalty, gradient) = irm_penalty(&of_scale, &fixtures.numbers("eiil.soft")?)?;
    assert!(apart(&[penalty], &fixtures.numbers("eiil.penalty")?) < 1e-12);
    assert!(apart(&gradient, &fixtures.numbers("eiil.grad")?) < 1e-12);
    Ok(())
}

#[test]
fn soft_environments_after_500_steps_equal_pytorchs_adam() -> TestResult {
    let fixtures = Fixtures::load("eiil")?;
    let of_scale = fixture_gradients(&fixtures)?;
    for (epsilon, expected) in [(1e-30, "eiil.after_500_steps"), (1e-8, "eiil.after_500_steps.1e-8")] {
        let options = EiilOptions { learning_rate: 0.01, steps: 500, epsilon };
        let found = options.maximise(&of_scale, fixtures.numbers("eiil.start")?)?.0;
        let off = apart(&found, &fixtures.numbers(expected)?);
        assert!(off < 1e-9, "{expected}: off by {off:e}");
    }
    Ok(())
}

#[test]
fn a_set_repeated_a_thousand_times_gets_the_same_environments() -> TestResult {
    let fixtures = Fixtures::load("eiil")?;
    let of_scale = fixture_gradients(&fixtures)?;
    let start = fixtures.numbers("eiil.start")?;
    let options = EiilOptions { learning_rate: 0.01, steps: 100, epsilon: 1e-30 };
    let once = options.maximise(&of_scale, start.clone())?.0;
    let repeated = options.maximise(&of_scale.repeat(1000), start.repeat(1000))?.0;
    let off = apart(&repeated[39_960..], &once);
    assert!(off < 1e-9, "off by {off:e}");
    Ok(())
}

#[test]
fn samples_that_the_reference_model_is_sure_of_leave_the_environment_that_they_were_drawn_in() -> TestResult {
    // One in twenty is wrong; the others are right with a likelihood of 1 - 1e-7.
    let labels = [0; 2000];
    let wrong = |row: usize| row % 20 == 19;
    let logits: Vec<f32> = (0..2000).flat_map(|row| if wrong(row) { [0.0, 16.0] } else { [16.0, 0.0] }).collect();
    let options = EiilOptions { learning_rate: 0.05, steps: 500, epsilon: 1e-30 };
    let found = environments(&logits, &labels, options, 0)?;
    let of_wrong = found[19];
    let elsewhere = (0..2000).filter(|row| (found[*row] == of_wrong) != wrong(*row)).count();
    assert_eq!(elsewhere, 0);
    Ok(())
}

#[test]
fn with_pytorchs_epsilon_samples_of_a_large_set_that_the_reference_model_is_sure_of_stay_where_they_are() -> TestResult
{
    let labels = [0; 2000];
    let logits = [16.0, 0.0].repeat(2000);
    let moved = |epsilon| {
        let after = |steps| environments(&logits, &labels, EiilOptions { learning_rate: 0.05, steps, epsilon }, 0);
        Ok::<_, cnc_core::Error>(after(0)?.iter().zip(after(500)?).filter(|(before, after)| **before != *after).count())
    };
    assert_eq!(moved(1e-8)?, 0);
    assert!(moved(1e-30)? > 500, "{}", moved(1e-30)?);
    Ok(())
}

#[test]
fn the_scale_gradient_of_four_samples_by_hand() -> TestResult {
    // With logits (0, ln 3) the likelihoods are a quarter and three quarters; equal logits gain nothing from a scale.
    let ln_3 = 3f32.ln();
    let found = gradients(&[0.0, ln_3, 0.0, ln_3, 1.0, 1.0, 0.0, 200.0], &[1, 0, 0, 1])?;
    let ln_3 = f64::from(ln_3);
    assert!(apart(&found, &[-ln_3 / 4.0, ln_3 * 0.75, 0.0, 0.0]) < 1e-7, "{found:?}");
    assert!(found[3] < 0.0, "a right answer is never sure enough: {found:?}");
    Ok(())
}

#[test]
fn samples_that_break_the_shortcut_get_an_environment_of_their_own() -> TestResult {
    // The reference model is right and confident on nine of ten, wrong and as confident on every tenth.
    let labels: Vec<u32> = (0..200).map(|row| row % 2).collect();
    let breaks = |row: usize| row % 20 >= 18;
    let logits: Vec<f32> = (labels.iter().enumerate())
        .flat_map(|(row, &label)| if (label == 0) == breaks(row) { [0.0, 1.0] } else { [1.0, 0.0] })
        .collect();
    let options = EiilOptions { learning_rate: 0.05, steps: 1000, epsilon: 1e-30 };
    for seed in 0..3 {
        let found = environments(&logits, &labels, options, seed)?;
        let of_breaks = found[18];
        assert!((0..200).all(|row| (found[row] == of_breaks) == breaks(row)), "{found:?}");
    }
    Ok(())
}

#[test]
fn the_same_seed_infers_the_same_environments_and_no_step_leaves_the_draw() -> TestResult {
    let run = |steps, seed| {
        let options = EiilOptions { learning_rate: 1e-3, steps, epsilon: 1e-30 };
        environments(&[0.5, -0.5].repeat(64), &[0; 64], options, seed)
    };
    assert_eq!(run(10, 1)?, run(10, 1)?);
    assert_ne!(run(0, 1)?, run(0, 2)?);
    assert!((20..44).contains(&run(0, 1)?.into_iter().filter(|inside| *inside).count()));
    Ok(())
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let error = |result: cnc_core::Result<Vec<f64>>| result.expect_err("refused").to_string();
    assert_eq!(error(gradients(&[0.0, 1.0], &[2])), "row 0 has label 2, expected a class from 0 to 1 (2 classes)");
    assert!(error(gradients(&[0.0, 1.0, 2.0], &[0])).contains("3 rows but labels times classes has 2"));
    assert!(error(gradients(&[0.0, f32::NAN], &[0])).starts_with("a logit of row 0 is NaN"));
    assert!(error(gradients(&[], &[])).starts_with("there are no samples"));
    let options = EiilOptions { learning_rate: 0.0, steps: 1, epsilon: 1e-30 };
    let soft = options.maximise(&[1.0], vec![0.0]).map(|soft| soft.0);
    assert!(error(soft).starts_with("learning_rate must be"));
    assert!(irm_penalty(&[1.0], &[]).is_err());
}
