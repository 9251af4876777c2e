//! Inferred environments, by hand and against PyTorch's double backward.

use std::error::Error;

use crate::common::{Fixtures, apart};
use cnc_core::{
    EiilOptions, eiil, environment_groups, flip_probability, irm_penalty, scale_gradients, soft_environments,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn the_penalty_and_its_gradient_equal_pytorchs_double_backward() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let labels = fixtures.indices("eiil.labels")?;
    let of_scale = scale_gradients(&fixtures.floats("eiil.logits")?, 3, &labels)?;
    let sum: f64 = of_scale.iter().sum();
    assert!(apart(&[sum], &fixtures.numbers("eiil.scale_gradient_sum")?) < 1e-12);

    let (penalty, gradient) = irm_penalty(&of_scale, &fixtures.numbers("eiil.soft")?)?;
    assert!(apart(&[penalty], &fixtures.numbers("eiil.penalty")?) < 1e-12);
    assert!(apart(&gradient, &fixtures.numbers("eiil.grad")?) < 1e-12);
    Ok(())
}

#[test]
fn soft_environments_after_500_steps_equal_pytorchs_adam() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let labels = fixtures.indices("eiil.labels")?;
    let of_scale = scale_gradients(&fixtures.floats("eiil.logits")?, 3, &labels)?;
    let options = EiilOptions { learning_rate: 0.01, steps: 500 };
    let found = soft_environments(&of_scale, fixtures.numbers("eiil.start")?, &options)?;
    let off = apart(&found, &fixtures.numbers("eiil.after_500_steps")?);
    assert!(off < 1e-9, "off by {off:e}");
    Ok(())
}

#[test]
fn a_set_repeated_a_thousand_times_gets_the_same_environments() -> TestResult {
    let fixtures = Fixtures::load("methods")?;
    let labels = fixtures.indices("eiil.labels")?;
    let of_scale = scale_gradients(&fixtures.floats("eiil.logits")?, 3, &labels)?;
    let start = fixtures.numbers("eiil.start")?;
    let options = EiilOptions { learning_rate: 0.01, steps: 100 };
    let once = soft_environments(&of_scale, start.clone(), &options)?;
    let repeated = soft_environments(&of_scale.repeat(1000), start.repeat(1000), &options)?;
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
    let options = EiilOptions { learning_rate: 0.05, steps: 500 };
    let environments = eiil(&logits, 2, &labels, &options, &mut ChaCha8Rng::seed_from_u64(0))?;
    let of_wrong = environments[19];
    let elsewhere = (0..2000).filter(|row| (environments[*row] == of_wrong) != wrong(*row)).count();
    assert_eq!(elsewhere, 0);
    Ok(())
}

#[test]
fn the_scale_gradient_of_four_samples_by_hand() -> TestResult {
    // With logits (0, ln 3) the likelihoods are a quarter and three quarters; equal logits gain nothing from a scale.
    let ln_3 = 3f32.ln();
    let found = scale_gradients(&[0.0, ln_3, 0.0, ln_3, 1.0, 1.0, 0.0, 200.0], 2, &[1, 0, 0, 1])?;
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
    let options = EiilOptions { learning_rate: 0.05, steps: 1000 };
    for seed in 0..3 {
        let environments = eiil(&logits, 2, &labels, &options, &mut ChaCha8Rng::seed_from_u64(seed))?;
        let of_breaks = environments[18];
        assert!((0..200).all(|row| (environments[row] == of_breaks) == breaks(row)), "{environments:?}");
    }
    Ok(())
}

#[test]
fn the_same_seed_infers_the_same_environments_and_no_step_leaves_the_draw() -> TestResult {
    let run = |steps, seed| {
        let options = EiilOptions { learning_rate: 1e-3, steps };
        eiil(&[0.5, -0.5].repeat(64), 2, &[0; 64], &options, &mut ChaCha8Rng::seed_from_u64(seed))
    };
    assert_eq!(run(10, 1)?, run(10, 1)?);
    assert_ne!(run(0, 1)?, run(0, 2)?);
    assert!((20..44).contains(&run(0, 1)?.into_iter().filter(|inside| *inside).count()));
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
fn wrong_arguments_are_refused_by_name() {
    let error = |result: cnc_core::Result<Vec<f64>>| result.expect_err("refused").to_string();
    assert_eq!(
        error(scale_gradients(&[0.0, 1.0], 2, &[2])),
        "row 0 has label 2, expected a class from 0 to 1 (2 classes)"
    );
    assert!(error(scale_gradients(&[0.0, 1.0, 2.0], 2, &[0])).contains("3 rows but labels times classes has 2"));
    assert!(error(scale_gradients(&[0.0, f32::NAN], 2, &[0])).starts_with("a logit of row 0 is NaN"));
    assert!(error(scale_gradients(&[], 2, &[])).starts_with("there are no samples"));
    let options = EiilOptions { learning_rate: 0.0, steps: 1 };
    assert!(error(soft_environments(&[1.0], vec![0.0], &options)).starts_with("learning_rate must be"));
    assert!(irm_penalty(&[1.0], &[]).is_err());
    assert!(environment_groups(&[1], &[]).is_err());
    assert!(environment_groups(&[u32::MAX], &[true]).is_err());
}
