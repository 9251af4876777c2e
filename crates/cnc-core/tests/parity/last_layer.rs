//! Last layers refitted on frozen features, by hand and against scikit-learn and PyTorch.

use std::error::Error;

use crate::common::{Fixtures, apart};
use cnc_core::{
    Afr, AfrOptions, DfrOptions, DpeOptions, Features, LinearHead, LogisticRegression, Penalty, PrototypeEnsemble,
    Prototypes, dfr, dpe,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type TestResult = Result<(), Box<dyn Error>>;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exponentials: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

#[test]
fn logistic_regression_equals_scikit_learn() -> TestResult {
    let fixtures = Fixtures::load("last_layer")?;
    for (name, classes) in [("three", 3), ("two", 2)] {
        let features = fixtures.floats(&format!("logistic.{name}.features"))?;
        let features = Features::new(&features, 5)?;
        let labels = fixtures.indices(&format!("logistic.{name}.labels"))?;
        for (penalty, penalty_name) in [(Penalty::L1, "l1"), (Penalty::L2, "l2")] {
            let case = format!("logistic.{name}.{penalty_name}");
            let head = LogisticRegression { penalty, c: 0.3 }.fit(&features, &labels, classes)?;
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
    let head = LogisticRegression { penalty: Penalty::L1, c: 1.0 }.fit(&features, &[0, 0, 1, 1], 2)?;
    assert!(head.weight[0] > 0.1 && head.weight[2] < -0.1, "{head:?}");
    assert_eq!((head.weight[1], head.weight[3]), (0.0, 0.0));
    assert_eq!(head.predict(&features)?, [0, 0, 1, 1]);
    // At the optimum the pull of the losses on each weight is C's share: 4 · ½ · (1-p) = 1 with p the likelihood.
    let likelihood = softmax(&head.logits(&features)?[..2])[0];
    assert!((4.0 * (1.0 - likelihood) - 1.0).abs() < 1e-5, "{likelihood}");
    Ok(())
}

#[test]
fn dfr_on_balanced_groups_equals_scikit_learn_on_standardised_features() -> TestResult {
    let fixtures = Fixtures::load("last_layer")?;
    let features = fixtures.floats("dfr.features")?;
    let features = Features::new(&features, 4)?;
    let (labels, groups) = (fixtures.indices("dfr.labels")?, fixtures.indices("dfr.groups")?);
    let options = DfrOptions { regression: LogisticRegression { penalty: Penalty::L1, c: 0.7 }, draws: 3 };
    let head = dfr(&features, &labels, 2, &groups, &options, &mut rng(0))?;
    // The decision on features as they are: the standardisation is in the head.
    let decision: Vec<f64> =
        head.logits(&features)?.chunks(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0])).collect();
    let off = apart(&decision, &fixtures.numbers("dfr.decision")?);
    assert!(off < 1e-5, "off by {off:e}");
    Ok(())
}

/// Two features: a shortcut, large, which agrees with the class in `aligned` samples of a class and not in `breaking`
/// ones, and the core, small, which always does. Labels and groups (2 · class + shortcut) beside it.
fn shortcut_features(aligned: usize, breaking: usize) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
    let (mut values, mut labels, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for class in 0..2u32 {
        for sample in 0..aligned + breaking {
            let shortcut = if sample < aligned { class } else { 1 - class };
            let side = |of: u32| if of == 1 { 1.0 } else { -1.0 };
            let noise = (sample % 7) as f32 / 7.0 - 0.43;
            values.extend([3.0 * side(shortcut) + noise, side(class) + 0.5 * noise, noise * noise]);
            labels.push(class);
            groups.push(2 * class + shortcut);
        }
    }
    (values, labels, groups)
}

#[test]
fn dfr_trusts_the_shortcut_less_than_a_fit_to_everything() -> TestResult {
    let (values, labels, groups) = shortcut_features(60, 4);
    let features = Features::new(&values, 3)?;
    let regression = LogisticRegression { penalty: Penalty::L2, c: 1.0 };
    let share = |head: &LinearHead| (head.weight[3] - head.weight[0]) / (head.weight[4] - head.weight[1]);
    let plain = regression.fit(&features, &labels, 2)?;
    let options = DfrOptions { regression, draws: 10 };
    let balanced = dfr(&features, &labels, 2, &groups, &options, &mut rng(0))?;
    assert!(share(&balanced).abs() < 0.2 * share(&plain), "{} against {}", share(&balanced), share(&plain));
    assert_eq!(balanced, dfr(&features, &labels, 2, &groups, &options, &mut rng(0))?);
    assert_ne!(balanced, dfr(&features, &labels, 2, &groups, &options, &mut rng(1))?);
    Ok(())
}

#[test]
fn afr_after_300_steps_equals_pytorch() -> TestResult {
    let fixtures = Fixtures::load("last_layer")?;
    let features = fixtures.floats("afr.features")?;
    let labels = fixtures.indices("afr.labels")?;
    let head = LinearHead { weight: fixtures.floats("afr.weight")?, bias: fixtures.floats("afr.bias")? };
    let options = AfrOptions { gamma: 4.0, pull: 0.2, learning_rate: 0.01 };
    let mut afr = Afr::new(&Features::new(&features, 4)?, &labels, &head, options)?;
    assert_eq!(afr.head(), head);
    let off = apart(afr.weights(), &fixtures.numbers("afr.weights")?);
    assert!(off < 1e-6, "weights off by {off:e}"); // the first model's logits are f32
    afr.descend(100);
    afr.descend(200);
    let found = afr.head();
    for (found, name) in [(found.weight, "weight"), (found.bias, "bias")] {
        let off = apart(&f64s(&found), &fixtures.numbers(&format!("afr.after_300_steps.{name}"))?);
        assert!(off < 1e-6, "{name} off by {off:e}");
    }
    assert!(apart(&[afr.loss()], &fixtures.numbers("afr.after_300_steps.loss")?) < 1e-6);
    Ok(())
}

#[test]
fn afr_weighs_by_what_the_first_model_does_not_believe_and_by_the_class() -> TestResult {
    // Likelihoods of the labels: ½ everywhere but in row 3, which the head is sure is of class 0.
    let values = [0.0, 0.0, 0.0, 50.0];
    let head = LinearHead { weight: vec![1.0, -1.0], bias: vec![0.0, 0.0] };
    let weights = |gamma: f64| {
        let options = AfrOptions { gamma, pull: 0.0, learning_rate: 0.01 };
        Ok::<_, cnc_core::Error>(
            Afr::new(&Features::new(&values, 1)?, &[0, 0, 1, 1], &head, options)?.weights().to_vec(),
        )
    };
    assert!(apart(&weights(0.0)?, &[0.25; 4]) < 1e-12);
    let halves = (2f64 * 3f64.ln() * -0.5).exp(); // a third, at γ = 2 ln 3
    let total = 3.0 * halves + 1.0;
    let expected = [halves / total, halves / total, halves / total, 1.0 / total];
    assert!(apart(&weights(2.0 * 3f64.ln())?, &expected) < 1e-12);
    assert!(apart(&weights(1e6)?, &[0.0, 0.0, 0.0, 1.0]) < 1e-12); // and no underflow
    Ok(())
}

#[test]
fn a_strong_pull_keeps_afr_at_the_first_models_head() -> TestResult {
    let (values, labels, _) = shortcut_features(20, 2);
    let features = Features::new(&values, 3)?;
    let head = LinearHead { weight: vec![-1.0, 0.0, 0.0, 1.0, 0.0, 0.0], bias: vec![0.0; 2] };
    let moved = |pull: f64| {
        let mut afr = Afr::new(&features, &labels, &head, AfrOptions { gamma: 5.0, pull, learning_rate: 0.01 })?;
        let before = afr.loss();
        afr.descend(500);
        assert!(afr.loss() < before);
        let now = f64s(&afr.head().weight);
        Ok::<_, cnc_core::Error>(
            now.iter().zip(f64s(&head.weight)).map(|(now, then)| (now - then).powi(2)).sum::<f64>(),
        )
    };
    let (free, held) = (moved(0.0)?, moved(10.0)?);
    assert!(held < 0.01 * free, "{held} against {free}");
    Ok(())
}

#[test]
fn the_likelihoods_of_an_ensemble_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("last_layer")?;
    let features = fixtures.floats("dpe.features")?;
    let prototypes = fixtures.floats("dpe.members")?;
    let members = prototypes
        .chunks(18)
        .zip(fixtures.floats("dpe.scales")?)
        .map(|(prototypes, scale)| Prototypes { prototypes: prototypes.to_vec(), scale })
        .collect();
    let ensemble = PrototypeEnsemble { classes: 3, members };
    let off = apart(&ensemble.likelihoods(&Features::new(&features, 6)?)?, &fixtures.numbers("dpe.likelihoods")?);
    assert!(off < 1e-6, "off by {off:e}");
    Ok(())
}

const DPE: DpeOptions = DpeOptions { members: 4, epochs: 60, batch: 16, learning_rate: 1e-3, similarity: 10.0 };

#[test]
fn an_ensemble_learns_its_classes_and_its_members_differ() -> TestResult {
    let (values, labels, groups) = shortcut_features(40, 10);
    let features = Features::new(&values, 3)?;
    let ensemble = dpe(&features, &labels, 2, &groups, &DPE, &mut rng(0))?;
    assert_eq!(ensemble.members.len(), 4);
    let predictions = ensemble.predict(&features)?;
    let right = predictions.iter().zip(&labels).filter(|(prediction, label)| prediction == label).count();
    assert!(right >= 90, "{right} of 100");
    assert_ne!(ensemble.members[0], ensemble.members[1]);
    assert_eq!(ensemble, dpe(&features, &labels, 2, &groups, &DPE, &mut rng(0))?);
    Ok(())
}

#[test]
fn the_penalty_makes_members_less_alike() -> TestResult {
    let (values, labels, _) = shortcut_features(40, 10);
    let features = Features::new(&values, 3)?;
    let alike = |similarity: f64| {
        let ensemble = dpe(&features, &labels, 2, &labels, &DpeOptions { similarity, ..DPE }, &mut rng(0))?;
        let [first, second] = [0, 1].map(|at: usize| f64s(&ensemble.members[at].prototypes));
        let product = |range: std::ops::Range<usize>| -> f64 {
            first[range.clone()].iter().zip(&second[range]).map(|(first, second)| first * second).sum()
        };
        Ok::<_, cnc_core::Error>(product(0..3).abs() + product(3..6).abs())
    };
    let (with, without) = (alike(100.0)?, alike(0.0)?);
    assert!(with < 0.3 * without, "{with} against {without}");
    Ok(())
}

#[test]
fn only_the_direction_of_a_centred_representation_counts_for_prototypes() -> TestResult {
    let member = Prototypes { prototypes: vec![1.0, -1.0, 0.0, -3.0, 3.0, 0.0], scale: -1.0 };
    let ensemble = PrototypeEnsemble { classes: 2, members: vec![member] };
    let likelihoods = |x: [f32; 3]| ensemble.likelihoods(&Features::new(&x, 3)?);
    let near = likelihoods([1.0, -1.0, 0.0])?;
    // At distance 0 from one prototype and 2 from the other, whatever the sign of the scale.
    assert!((near[0] - 1.0 / (1.0 + (-2f64).exp())).abs() < 1e-6, "{near:?}");
    assert!(apart(&likelihoods([17.0, 7.0, 12.0])?, &near) < 1e-6);
    assert!(apart(&likelihoods([5.0; 3])?, &[0.5, 0.5]) < 1e-12); // no direction at all
    Ok(())
}

#[test]
fn what_cannot_be_fitted_is_refused_by_name() -> TestResult {
    let values = [0.0f32, 1.0, 2.0, 3.0];
    let features = Features::new(&values, 1)?;
    let fit = LogisticRegression { penalty: Penalty::L2, c: 1.0 };
    let head = LinearHead { weight: vec![1.0; 4], bias: vec![0.0; 2] };
    let options = AfrOptions { gamma: 1.0, pull: 0.0, learning_rate: 0.1 };
    let dfr_options = DfrOptions { regression: fit, draws: 0 };
    for (error, expected) in [
        (Features::new(&values, 3).map(|_| ()), "features must have shape (rows, 3), found [4]"),
        (Features::new(&values, 0).map(|_| ()), "dim must be at least 1"),
        (Features::new(&[], 3).map(|_| ()), "there are no samples"),
        (Features::new(&[0.0, f32::NAN], 1).map(|_| ()), "a feature of row 1 is NaN"),
        (fit.fit(&features, &[0, 1, 0], 2).map(|_| ()), "features has 4 rows but labels has 3"),
        (fit.fit(&features, &[0, 1, 0, 2], 2).map(|_| ()), "row 3 has label 2"),
        (fit.fit(&features, &[0, 1, 0, 1], 3).map(|_| ()), "class 2 has no samples to fit on"),
        (LogisticRegression { c: 0.0, ..fit }.fit(&features, &[0, 1, 0, 1], 2).map(|_| ()), "c must be a finite"),
        (dfr(&features, &[0, 1, 0, 1], 2, &[0; 4], &dfr_options, &mut rng(0)).map(|_| ()), "draws must be at least 1"),
        (
            Afr::new(&features, &[0, 1, 0, 1], &head, options).map(|_| ()),
            "weight of the head must have shape (classes, 1)",
        ),
        (
            dpe(&features, &[0, 1, 0, 1], 2, &[0; 3], &DPE, &mut rng(0)).map(|_| ()),
            "features has 4 rows but keys has 3",
        ),
        (
            dpe(&features, &[0, 1, 0, 1], 2, &[0; 4], &DpeOptions { members: 0, ..DPE }, &mut rng(0)).map(|_| ()),
            "members must be at least 1",
        ),
    ] {
        let error = error.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}
