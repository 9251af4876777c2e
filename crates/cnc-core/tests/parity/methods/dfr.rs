//! Deep feature reweighting, by hand and against scikit-learn.

use std::error::Error;

use cnc_core::Features;
use cnc_core::fits::{Labelled, LinearHead, LogisticOptions, Penalty};
use cnc_core::methods::{Balanced, DfrOptions};

use crate::reference::{Fixtures, apart};
use crate::samples::{rng, shortcut_features};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn dfr_on_balanced_groups_equals_scikit_learn_on_standardised_features() -> TestResult {
    let fixtures = Fixtures::load("dfr")?;
    let features = fixtures.floats("dfr.features")?;
    let features = Features::new(&features, 4)?;
    let (labels, groups) = (fixtures.indices("dfr.labels")?, fixtures.indices("dfr.groups")?);
    let options = DfrOptions { regression: LogisticOptions { penalty: Penalty::L1, c: 0.7 }, draws: 3 };
    let samples = Balanced { samples: Labelled { features, labels: &labels, classes: 2 }, keys: &groups };
    let head = options.fit(&samples, &mut rng(0))?;
    // The decision on features as they are: the standardisation is in the head.
    let decision: Vec<f64> =
        head.logits(&features)?.chunks(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0])).collect();
    let off = apart(&decision, &fixtures.numbers("dfr.decision")?);
    assert!(off < 1e-5, "off by {off:e}");
    Ok(())
}

#[test]
fn dfr_trusts_the_shortcut_less_than_a_fit_to_everything() -> TestResult {
    let (values, labels, groups) = shortcut_features(60, 4);
    let features = Features::new(&values, 3)?;
    let regression = LogisticOptions { penalty: Penalty::L2, c: 1.0 };
    let share = |head: &LinearHead| (head.weight[3] - head.weight[0]) / (head.weight[4] - head.weight[1]);
    let samples = Labelled { features, labels: &labels, classes: 2 };
    let plain = regression.fit(&samples)?;
    let options = DfrOptions { regression, draws: 10 };
    let samples = Balanced { samples, keys: &groups };
    let balanced = options.fit(&samples, &mut rng(0))?;
    assert!(share(&balanced).abs() < 0.2 * share(&plain), "{} against {}", share(&balanced), share(&plain));
    assert_eq!(balanced, options.fit(&samples, &mut rng(0))?);
    assert_ne!(balanced, options.fit(&samples, &mut rng(1))?);
    Ok(())
}

#[test]
fn c_is_tuned_on_the_half_that_a_fit_has_not_seen_and_of_equals_the_first_is_taken() -> TestResult {
    let (values, labels, groups) = shortcut_features(60, 8);
    let samples = Labelled { features: Features::new(&values, 3)?, labels: &labels, classes: 2 };
    let samples = Balanced { samples, keys: &groups };
    // Under so strong a penalty no weight is left.
    let tuned = DfrOptions::tune(Penalty::L1, &[1e-6, 1.0, 1.0001], &samples, &mut rng(0))?;
    assert_eq!(tuned.c, 1.0);
    assert!(tuned.worst_group.is_some_and(|worst| worst > 0.7), "{tuned:?}");
    // A memory of the rows that it was fitted to is of no use: noise is not learnt.
    let noise: Vec<u32> = (0..labels.len() as u32).map(|row| row.wrapping_mul(2_654_435_761) >> 31).collect();
    let samples = Labelled { labels: &noise, ..samples.samples };
    let keys: Vec<u32> = noise.clone();
    let tuned = DfrOptions::tune(Penalty::L2, &[100.0], &Balanced { samples, keys: &keys }, &mut rng(0))?;
    assert!(tuned.worst_group.is_some_and(|worst| worst < 0.7), "{tuned:?}");
    assert!(DfrOptions::tune(Penalty::L2, &[], &Balanced { samples, keys: &keys }, &mut rng(0)).is_err());
    Ok(())
}

#[test]
fn what_cannot_be_fitted_is_refused_by_name() -> TestResult {
    let values = [0.0f32, 1.0, 2.0, 3.0];
    let features = Features::new(&values, 1)?;
    let samples = Labelled { features, labels: &[0, 1, 0, 1], classes: 2 };
    let regression = LogisticOptions { penalty: Penalty::L2, c: 1.0 };
    let fit = |draws, keys: &[u32]| {
        DfrOptions { regression, draws }.fit(&Balanced { samples, keys }, &mut rng(0)).map(|_| ())
    };
    for (error, expected) in
        [(fit(0, &[0; 4]), "draws must be at least 1"), (fit(1, &[0; 3]), "features has 4 rows but groups has 3")]
    {
        let error = error.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}
