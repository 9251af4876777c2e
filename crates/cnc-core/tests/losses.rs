//! The losses on inputs that a reader can verify, at their edges, and against plain loops.

use std::error::Error;

use candle_core::{DType, Device, Tensor, Var};
use cnc_core::{Contrast, ContrastiveLoss, ContrastiveOptions, Error as CoreError, Parts, Sides, cross_entropy};
use proptest::prelude::*;

type TestResult = Result<(), Box<dyn Error>>;

fn loss(temperature: f64, sides: Sides, contrast: Contrast) -> ContrastiveLoss {
    ContrastiveLoss::new(ContrastiveOptions { temperature, sides, contrast }).expect("a valid temperature")
}

fn matrix(rows: &[Vec<f32>], dim: usize) -> Tensor {
    Tensor::from_vec(rows.concat(), (rows.len(), dim), &Device::Cpu).expect("rows of equal length")
}

fn parts(anchors: &[[f32; 2]], positives: &[[f32; 2]], negatives: &[[f32; 2]], easy: &[[f32; 2]]) -> Parts {
    let tensor = |rows: &[[f32; 2]]| Tensor::from_vec(rows.concat(), (rows.len(), 2), &Device::Cpu).expect("a matrix");
    Parts {
        anchors: tensor(anchors),
        positives: tensor(positives),
        negatives: tensor(negatives),
        easy_negatives: tensor(easy),
    }
}

fn value(loss: &ContrastiveLoss, parts: &Parts) -> Result<f64, Box<dyn Error>> {
    Ok(f64::from(loss.forward(parts)?.to_scalar::<f32>()?))
}

const EAST: [f32; 2] = [1.0, 0.0];
const NORTH: [f32; 2] = [0.0, 1.0];
const WEST: [f32; 2] = [-1.0, 0.0];

#[test]
fn two_rows_a_part_by_hand() -> TestResult {
    // At temperature 1 the anchor east has exponents 1 (east) and 0 (north) with its positives, -1 with the negative.
    let parts = parts(&[EAST], &[EAST, NORTH], &[WEST], &[WEST]);
    let (e, one) = (1f64.exp(), 1.0);
    let first = (e + one + 1.0 / e).ln() - 0.5;
    assert!((value(&loss(1.0, Sides::One, Contrast::Dense), &parts)? - first).abs() < 1e-6);

    // Positives: east has exponent 1 with the anchor and -1 with the easy negative, north has 0 and 0.
    let (of_east, of_north) = ((e + 1.0 / e).ln() - 1.0, 2f64.ln());
    let published = value(&loss(1.0, Sides::Two, Contrast::Published), &parts)?;
    assert!((published - (first + of_east)).abs() < 1e-6);
    let dense = value(&loss(1.0, Sides::Two, Contrast::Dense), &parts)?;
    assert!((dense - (first + (of_east + of_north) / 2.0)).abs() < 1e-6);
    Ok(())
}

#[test]
fn only_the_direction_of_a_representation_counts() -> TestResult {
    let loss = loss(0.1, Sides::Two, Contrast::Dense);
    let short = parts(&[EAST, [3.0, 4.0]], &[NORTH], &[WEST], &[EAST]);
    let long = parts(&[[1e3, 0.0], [0.03, 0.04]], &[[0.0, 7.0]], &[[-0.5, 0.0]], &[[9.0, 0.0]]);
    assert!((value(&loss, &short)? - value(&loss, &long)?).abs() < 1e-4);
    Ok(())
}

#[test]
fn a_temperature_that_is_no_positive_number_is_refused_by_name() {
    for given in [0.0, -1.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-300] {
        let options = ContrastiveOptions { temperature: given, sides: Sides::One, contrast: Contrast::Dense };
        let error = ContrastiveLoss::new(options).expect_err("an error");
        assert!(matches!(error, CoreError::Temperature { .. }));
        assert!(error.to_string().starts_with("temperature must be a finite number"), "{error}");
    }
}

#[test]
fn the_loss_is_finite_over_the_whole_range_of_temperatures() -> TestResult {
    let opposite = parts(&[EAST], &[WEST, NORTH], &[EAST], &[EAST]);
    for temperature in [1e-6, 0.001, 0.01, 0.0112, 0.05, 1.0, 1e300] {
        assert!(value(&loss(temperature, Sides::Two, Contrast::Dense), &opposite)?.is_finite(), "{temperature}");
    }
    Ok(())
}

#[test]
fn without_anchors_or_positives_the_empty_part_is_named() {
    let loss = loss(0.1, Sides::Two, Contrast::Published);
    for (parts, name) in
        [(parts(&[], &[EAST], &[WEST], &[WEST]), "anchors"), (parts(&[EAST], &[], &[WEST], &[WEST]), "positives")]
    {
        let error = loss.forward(&parts).expect_err("an error");
        assert!(matches!(error, CoreError::EmptyPart { part } if part == name), "{error}");
    }
}

#[test]
fn without_negatives_the_positives_alone_are_the_denominator() -> TestResult {
    let parts = parts(&[EAST], &[EAST, EAST], &[], &[]);
    for contrast in [Contrast::Dense, Contrast::Published] {
        // ln 2 for the anchor with two equal positives, 0 for each positive with its only anchor.
        assert!((value(&loss(0.05, Sides::Two, contrast), &parts)? - 2f64.ln()).abs() < 1e-5);
    }
    Ok(())
}

#[test]
fn a_part_of_another_width_is_named_with_both_widths() -> TestResult {
    let mut parts = parts(&[EAST], &[EAST], &[WEST], &[WEST]);
    parts.negatives = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
    let error = loss(0.1, Sides::One, Contrast::Dense).forward(&parts).expect_err("an error").to_string();
    assert_eq!(error, "negatives must have shape (rows, 2), as wide as the anchors, found [2, 3]");
    Ok(())
}

#[test]
fn one_sided_losses_do_not_look_at_the_easy_negatives() -> TestResult {
    let mut parts = parts(&[EAST], &[EAST], &[WEST], &[WEST]);
    parts.easy_negatives = Tensor::zeros((0, 0), DType::F32, &Device::Cpu)?;
    value(&loss(0.1, Sides::One, Contrast::Dense), &parts)?;
    Ok(())
}

#[test]
fn a_representation_of_zeros_has_cosine_zero_and_takes_no_gradient() -> TestResult {
    let anchors = Var::new(&[[0f32, 0.0], [1.0, 0.0]], &Device::Cpu)?;
    let mut parts = parts(&[], &[EAST], &[WEST], &[WEST]);
    parts.anchors = anchors.as_tensor().clone();
    let loss = loss(1.0, Sides::One, Contrast::Dense).forward(&parts)?;
    // Row 0: exponents 0 and 0; row 1: 1 and -1.
    let expected = (2f64.ln() + (1f64.exp() + (-1f64).exp()).ln() - 1.0) / 2.0;
    assert!((f64::from(loss.to_scalar::<f32>()?) - expected).abs() < 1e-6);
    let gradients = loss.backward()?;
    let gradient = gradients.get(&anchors).ok_or("no gradient")?.to_vec2::<f32>()?;
    assert_eq!(gradient[0], [0.0, 0.0]);
    assert!(gradient[1].iter().all(|value| value.is_finite()));
    Ok(())
}

#[test]
fn a_representation_that_is_nan_gives_a_loss_that_is_nan() -> TestResult {
    for broken in [f32::NAN, f32::INFINITY] {
        let parts = parts(&[EAST, [broken, 0.0]], &[EAST], &[WEST], &[WEST]);
        assert!(value(&loss(0.1, Sides::Two, Contrast::Dense), &parts)?.is_nan());
    }
    Ok(())
}

#[test]
fn half_precision_is_computed_in_single_precision() -> TestResult {
    let full = parts(&[EAST], &[EAST, NORTH], &[WEST], &[WEST]);
    let half = |tensor: &Tensor| tensor.to_dtype(DType::BF16);
    let parts = Parts {
        anchors: half(&full.anchors)?,
        positives: half(&full.positives)?,
        negatives: half(&full.negatives)?,
        easy_negatives: half(&full.easy_negatives)?,
    };
    let loss = loss(0.05, Sides::Two, Contrast::Dense);
    assert!((value(&loss, &parts)? - value(&loss, &full)?).abs() < 1e-6);
    Ok(())
}

#[test]
fn one_encoding_splits_into_parts_and_gradients_find_their_way_back() -> TestResult {
    let rows = Var::new(&[[1f32, 0.5], [0.2, 1.0], [-1.0, 0.3], [0.4, -1.0], [0.9, 0.1]], &Device::Cpu)?;
    let parts = Parts::split(&rows, [1, 2, 1, 1])?;
    assert_eq!(parts.positives.to_vec2::<f32>()?, [[0.2, 1.0], [-1.0, 0.3]]);
    let gradients = loss(0.5, Sides::Two, Contrast::Dense).forward(&parts)?.backward()?;
    let gradient = gradients.get(&rows).ok_or("no gradient")?.to_vec2::<f32>()?;
    assert!(gradient.iter().all(|row| row.iter().any(|value| *value != 0.0)), "{gradient:?}");

    let error = Parts::split(&rows, [1, 2, 1, 2]).expect_err("an error").to_string();
    assert_eq!(error, "representations must have shape (6, dim), the sum of the parts [1, 2, 1, 2], found [5, 2]");
    Ok(())
}

#[test]
fn cross_entropy_names_what_is_wrong_with_its_arguments() -> TestResult {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
    let error = |logits: &Tensor, labels: &[u32]| -> Result<String, Box<dyn Error>> {
        let labels = Tensor::from_slice(labels, labels.len(), &Device::Cpu)?;
        Ok(cross_entropy(logits, &labels).expect_err("an error").to_string())
    };
    assert_eq!(error(&logits, &[0, 3])?, "row 1 has label 3, expected a class from 0 to 2 (3 classes)");
    assert_eq!(error(&logits, &[0])?, "labels must have shape (2,), one label a row of the logits, found [1]");
    let none = Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?;
    assert_eq!(error(&none, &[])?, "the batch has no samples: its cross-entropy is undefined");
    Ok(())
}

/// The equation as it stands, in f64.
fn side_by_loop(contrasted: &[Vec<f32>], positives: &[Vec<f32>], negatives: &[Vec<f32>], temperature: f64) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let exponent = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / temperature;
    let mut sum = 0.0;
    for x in contrasted {
        let denominator: f64 = positives.iter().chain(negatives).map(|other| exponent(x, other).exp()).sum();
        for p in positives {
            sum -= (exponent(x, p).exp() / denominator).ln();
        }
    }
    sum / (contrasted.len() * positives.len()) as f64
}

type Rows = Vec<Vec<f32>>;

fn four_parts() -> impl Strategy<Value = [Rows; 4]> {
    (1usize..9).prop_flat_map(|dim| {
        let row = prop::collection::vec(-2f32..2.0, dim)
            .prop_filter("a direction", |row| row.iter().any(|value| value.abs() > 0.1));
        let rows = move |least: usize| prop::collection::vec(row.clone(), least..6);
        [rows(1).boxed(), rows(1).boxed(), rows(0).boxed(), rows(0).boxed()]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_variant_equals_a_plain_loop(rows in four_parts(), temperature in 0.05f64..2.0) {
        let [a, p, n, e] = &rows;
        let dim = a[0].len();
        let parts = Parts {
            anchors: matrix(a, dim),
            positives: matrix(p, dim),
            negatives: matrix(n, dim),
            easy_negatives: matrix(e, dim),
        };
        for (contrast, firsts) in [(Contrast::Dense, (a.len(), p.len())), (Contrast::Published, (1, 1))] {
            let first = side_by_loop(&a[..firsts.0], p, n, temperature);
            let both = first + side_by_loop(&p[..firsts.1], a, e, temperature);
            for (sides, expected) in [(Sides::One, first), (Sides::Two, both)] {
                let found = value(&loss(temperature, sides, contrast), &parts).expect("a loss");
                prop_assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }
}
