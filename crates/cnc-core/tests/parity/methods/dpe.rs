//! Diverse prototypical ensembles, by hand and against PyTorch.

use std::error::Error;

use cnc_core::Features;
use cnc_core::fits::Labelled;
use cnc_core::methods::{Balanced, DpeOptions, PrototypeEnsemble, Prototypes};

use crate::reference::{Fixtures, apart};
use crate::samples::{f64s, rng, shortcut_features};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn the_likelihoods_of_an_ensemble_equal_pytorch() -> TestResult {
    let fixtures = Fixtures::load("dpe")?;
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

const DPE: DpeOptions =
    DpeOptions { members: 4, epochs: 60, batch: 16, learning_rate: 1e-3, similarity: 10.0, length: 0.0 };

/// No epoch is better than another: the last is kept.
fn alike(_: &Prototypes) -> cnc_core::Result<f64> {
    Ok(0.0)
}

#[test]
fn an_ensemble_learns_its_classes_and_its_members_differ() -> TestResult {
    let (values, labels, groups) = shortcut_features(40, 10);
    let features = Features::new(&values, 3)?;
    let samples = Labelled { features, labels: &labels, classes: 2 };
    let samples = Balanced { samples, keys: &groups };
    let ensemble = DPE.fit(&samples, &mut rng(0), alike)?;
    assert_eq!(ensemble.members.len(), 4);
    let predictions = ensemble.predict(&features)?;
    let right = predictions.iter().zip(&labels).filter(|(prediction, label)| prediction == label).count();
    assert!(right >= 90, "{right} of 100");
    assert_ne!(ensemble.members[0], ensemble.members[1]);
    assert_eq!(ensemble, DPE.fit(&samples, &mut rng(0), alike)?);
    Ok(())
}

#[test]
fn a_member_is_kept_as_it_was_after_its_best_epoch_the_last_of_equals() -> TestResult {
    let (values, labels, _) = shortcut_features(40, 10);
    let samples = Labelled { features: Features::new(&values, 3)?, labels: &labels, classes: 2 };
    let samples = Balanced { samples, keys: &labels };
    let one = DpeOptions { members: 1, epochs: 5, ..DPE };
    let mut seen = Vec::new();
    let values = [0.1, 0.9, 0.3, 0.9, 0.5];
    let ensemble = one.fit(&samples, &mut rng(0), |member| {
        seen.push(member.clone());
        Ok(values[seen.len() - 1])
    })?;
    assert_eq!((seen.len(), &ensemble.members[0]), (5, &seen[3]));
    Ok(())
}

#[test]
fn the_penalty_makes_members_less_alike() -> TestResult {
    let (values, labels, _) = shortcut_features(40, 10);
    let features = Features::new(&values, 3)?;
    let samples = Labelled { features, labels: &labels, classes: 2 };
    let samples = Balanced { samples, keys: &labels };
    let product = |similarity: f64| {
        let ensemble = DpeOptions { similarity, ..DPE }.fit(&samples, &mut rng(0), alike)?;
        let [first, second] = [0, 1].map(|at: usize| f64s(&ensemble.members[at].prototypes));
        // The sum over the classes: what is alike in one may be unlike in another.
        Ok::<_, cnc_core::Error>(first.iter().zip(&second).map(|(first, second)| first * second).sum::<f64>().abs())
    };
    let (with, without) = (product(100.0)?, product(0.0)?);
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
    let samples = Labelled { features, labels: &[0, 1, 0, 1], classes: 2 };
    let fit =
        |options: DpeOptions, keys: &[u32]| options.fit(&Balanced { samples, keys }, &mut rng(0), alike).map(|_| ());
    for (error, expected) in [
        (fit(DPE, &[0; 3]), "features has 4 rows but keys has 3"),
        (fit(DpeOptions { members: 0, ..DPE }, &[0; 4]), "members must be at least 1"),
    ] {
        let error = error.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}
