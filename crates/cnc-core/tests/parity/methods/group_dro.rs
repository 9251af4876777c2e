//! Group DRO's weights and loss, by hand and against NumPy and PyTorch.

use std::error::Error;

use crate::reference::{Fixtures, apart};
use crate::tensors::{distance, losses};
use candle_core::Var;
use cnc_core::methods::{GroupDro, GroupDroOptions};

type TestResult = Result<(), Box<dyn Error>>;

const PLAIN: GroupDroOptions = GroupDroOptions { step_size: 0.01, adjustment: 0.0 };

#[test]
fn the_weights_after_100_steps_equal_numpy_and_the_gradient_pytorch() -> TestResult {
    let fixtures = Fixtures::load("group_dro")?;
    let sizes: Vec<usize> = fixtures.indices("group_dro.sizes")?.into_iter().map(|size| size as usize).collect();
    let mut dro = GroupDro::new(&sizes, GroupDroOptions { step_size: 0.05, adjustment: 2.0 })?;
    let (all_losses, all_groups) = (fixtures.get("group_dro.losses")?, fixtures.get("group_dro.groups")?);
    let steps = all_losses.dim(0)?;
    for step in 0..steps {
        let batch = Var::from_tensor(&all_losses.get(step)?)?;
        let loss = dro.loss(&batch, &all_groups.get(step)?.to_vec1::<u32>()?)?;
        if step + 1 == steps {
            let off = distance(&loss, fixtures.get("group_dro.loss")?)?;
            assert!(off < 1e-6, "loss off by {off:e}");
            let gradients = loss.backward()?;
            let off = distance(gradients.get(&batch).ok_or("no gradient")?, fixtures.get("group_dro.grad")?)?;
            assert!(off < 1e-6, "gradient off by {off:e}");
        }
    }
    let off = apart(dro.weights(), &fixtures.numbers("group_dro.weights")?);
    assert!(off < 1e-12, "weights off by {off:e}");
    assert_eq!(dro.weights()[2], 0.0);
    Ok(())
}

#[test]
fn weight_moves_from_the_easy_group_to_the_hard_one() -> TestResult {
    // Means 1 and 3: at a step size of ln 2, factors of 2 and 8 on equal weights, so 0.2 and 0.8.
    let mut dro = GroupDro::new(&[2, 2], GroupDroOptions { step_size: 2f64.ln(), adjustment: 0.0 })?;
    let loss = dro.loss(&losses(&[0.5, 4.0, 1.5, 2.0]), &[0, 1, 0, 1])?;
    assert!(apart(dro.weights(), &[0.2, 0.8]) < 1e-12, "{:?}", dro.weights());
    assert!((loss.to_scalar::<f32>()? - 2.6).abs() < 1e-6);
    Ok(())
}

#[test]
fn a_group_that_the_batch_lacks_keeps_its_share_of_what_is_left_and_adds_no_loss() -> TestResult {
    let mut dro = GroupDro::new(&[5, 5, 0], GroupDroOptions { step_size: 3f64.ln(), adjustment: 0.0 })?;
    let loss = dro.loss(&losses(&[1.0]), &[0])?;
    assert!(apart(dro.weights(), &[0.75, 0.25, 0.0]) < 1e-12, "{:?}", dro.weights());
    assert!((loss.to_scalar::<f32>()? - 0.75).abs() < 1e-6);
    Ok(())
}

#[test]
fn the_adjustment_counts_small_groups_more() -> TestResult {
    let mut dro = GroupDro::new(&[4, 100], GroupDroOptions { step_size: 1.0, adjustment: 1.0 })?;
    // No losses at all: C/√n is 0.5 and 0.1.
    let loss = dro.loss(&losses(&[0.0, 0.0]), &[0, 1])?;
    let (small, large) = (0.5f64.exp(), 0.1f64.exp());
    assert!(apart(dro.weights(), &[small / (small + large), large / (small + large)]) < 1e-12);
    let expected = (0.5 * small + 0.1 * large) / (small + large);
    assert!((f64::from(loss.to_scalar::<f32>()?) - expected).abs() < 1e-6);
    Ok(())
}

#[test]
fn huge_losses_do_not_overflow_the_weights() -> TestResult {
    let mut dro = GroupDro::new(&[1, 1], GroupDroOptions { step_size: 1.0, adjustment: 0.0 })?;
    dro.loss(&losses(&[1e5, 1e5 - 1.0]), &[0, 1])?;
    let expected = 1.0 / (1.0 + (-1f64).exp());
    assert!((dro.weights()[0] - expected).abs() < 1e-12, "{:?}", dro.weights());
    Ok(())
}

#[test]
fn restored_weights_go_on_to_the_same_bits() -> TestResult {
    let mut dro = GroupDro::new(&[3, 3], PLAIN)?;
    dro.loss(&losses(&[0.3, 2.0]), &[0, 1])?;
    let mut resumed = GroupDro::new(&[3, 3], PLAIN)?;
    resumed.set_weights(dro.weights())?;
    let next = losses(&[0.1, 0.7]);
    let expected = dro.loss(&next, &[1, 0])?.to_scalar::<f32>()?;
    assert_eq!(resumed.loss(&next, &[1, 0])?.to_scalar::<f32>()?, expected);
    assert_eq!(resumed, dro);
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_by_name_and_changes_nothing() -> TestResult {
    let mut dro = GroupDro::new(&[3, 0], PLAIN)?;
    let before = dro.clone();
    for (values, groups, expected) in [
        (&[1.0][..], &[2][..], "row 0 is of group 2, but there are only 2 groups"),
        (&[1.0, 1.0], &[0, 1], "row 1 is of group 1, which has no samples"),
        (&[1.0, f32::NAN], &[0, 0], "the loss of row 1 is NaN"),
        (&[1.0], &[0, 0], "losses has 1 rows but groups has 2"),
        (&[], &[], "the batch has no samples"),
    ] {
        let error = dro.loss(&losses(values), groups).expect_err("refused").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for (weights, expected) in [
        (&[1.0][..], "there are 1, for 2 groups"),
        (&[0.5, 0.2], "add up to 1"),
        (&[f64::NAN, 0.0], "add up to 1"),
        (&[0.5, 0.5], "a group without samples has a weight"),
    ] {
        let error = dro.set_weights(weights).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(dro, before);
    assert!(GroupDro::new(&[0, 0], PLAIN).is_err());
    let error = GroupDro::new(&[1], GroupDroOptions { step_size: -1.0, adjustment: 0.0 }).expect_err("refused");
    assert_eq!(error.to_string(), "step_size must be a finite number of at least 0, not -1");
    Ok(())
}

#[test]
fn a_step_so_large_that_the_weights_are_0_by_0_is_refused_by_name_and_changes_nothing() -> TestResult {
    let mut dro = GroupDro::new(&[3, 3], GroupDroOptions { step_size: 1e6, adjustment: 0.0 })?;
    dro.loss(&losses(&[0.1, 2.0]), &[0, 1])?;
    let before = dro.clone();
    assert_eq!(before.weights(), [0.0, 1.0]);
    let error = dro.loss(&losses(&[2.0, 0.1]), &[0, 1]).expect_err("refused").to_string();
    assert!(error.starts_with("step_size must be smaller") && error.contains("0/0"), "{error}");
    assert_eq!(dro, before);
    Ok(())
}
