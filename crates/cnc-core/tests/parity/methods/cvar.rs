//! CVaR by hand, and against its definition in PyTorch.

use std::error::Error;

use candle_core::{Device, Tensor, Var};
use cnc_core::methods::cvar;

use crate::reference::Fixtures;
use crate::tensors::{distance, losses};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn cvar_and_its_gradient_equal_its_definition_in_pytorch() -> TestResult {
    let fixtures = Fixtures::load("cvar")?;
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
fn what_cannot_be_is_refused_by_name() -> TestResult {
    let logits = Tensor::new(&[[0f32, 1.0]], &Device::Cpu)?;
    for (found, expected) in [
        (cvar(&losses(&[1.0]), 0.0), "alpha must be above 0 and at most 1, not 0"),
        (cvar(&losses(&[1.0, f32::INFINITY]), 0.5), "the loss of row 1 is inf"),
        (cvar(&logits, 0.5), "losses must have shape (batch,)"),
    ] {
        let found = found.expect_err("refused").to_string();
        assert!(found.starts_with(expected), "{found}");
    }
    Ok(())
}
