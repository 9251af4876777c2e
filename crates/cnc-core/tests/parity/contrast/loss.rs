//! Values and gradients of the contrastive loss against PyTorch in f64.

use std::error::Error;

use candle_core::{DType, Var};
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Parts, Sides};

use crate::reference::Fixtures;
use crate::tensors::distance;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn the_contrastive_loss_and_its_gradients_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("contrastive")?;
    let names = ["anchors", "positives", "negatives", "easy_negatives"];
    for (input, temperature) in ["unit", "near"]
        .into_iter()
        .flat_map(|input| [0.05, 0.0112, 0.01, 0.001].map(|temperature| (input, temperature)))
    {
        for (sides, sides_name) in [(Sides::One, "one"), (Sides::Two, "two")] {
            for (contrast, contrast_name) in [(Contrast::Dense, "dense"), (Contrast::Published, "published")] {
                let case = format!("{input}.{temperature}.{sides_name}.{contrast_name}");
                let var =
                    |part: &str| Ok::<_, Box<dyn Error>>(Var::from_tensor(fixtures.get(&format!("{input}.{part}"))?)?);
                let vars = [var(names[0])?, var(names[1])?, var(names[2])?, var(names[3])?];
                let [anchors, positives, negatives, easy_negatives] =
                    vars.each_ref().map(|var| var.as_tensor().clone());
                let parts = Parts { anchors, positives, negatives, easy_negatives };
                let loss =
                    ContrastiveLoss::new(ContrastiveOptions { temperature, sides, contrast })?.forward(&parts)?;
                assert_eq!((loss.dims(), loss.dtype()), (&[][..], DType::F32), "{case}");
                let value = distance(&loss, fixtures.get(&format!("{case}.loss"))?)?;
                assert!(value < 1e-4, "{case}: loss off by {value:e}");

                // A cosine is rounded to some 1e-7, and the exponents to that over the temperature.
                let tolerance = 5e-7 / temperature;
                let gradients = loss.backward()?;
                for (var, name) in vars.iter().zip(names) {
                    match (gradients.get(var), fixtures.get(&format!("{case}.grad.{name}"))) {
                        (Some(found), Ok(expected)) => {
                            let off = distance(found, expected)?;
                            assert!(off < tolerance, "{case}: gradient of {name} off by {off:e}");
                        }
                        (None, Err(_)) => assert_eq!((name, sides), ("easy_negatives", Sides::One)),
                        (found, _) => panic!("{case}: gradient of {name} is some: {}", found.is_some()),
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_contrastive_loss_in_f64_equals_pytorch_to_rounding() -> TestResult {
    let fixtures = Fixtures::load("contrastive")?;
    let part = |name: &str| Ok::<_, Box<dyn Error>>(fixtures.get(&format!("near.{name}"))?.to_dtype(DType::F64)?);
    let parts = Parts {
        anchors: part("anchors")?,
        positives: part("positives")?,
        negatives: part("negatives")?,
        easy_negatives: part("easy_negatives")?,
    };
    let options = ContrastiveOptions { temperature: 0.001, sides: Sides::Two, contrast: Contrast::Dense };
    let loss = ContrastiveLoss::new(options)?.forward(&parts)?;
    assert!(distance(&loss, fixtures.get("near.0.001.two.dense.loss")?)? < 1e-12);
    Ok(())
}
