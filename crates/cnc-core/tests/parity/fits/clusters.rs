//! Clusters of representations, and which class each is, by hand and against scikit-learn.

use std::error::Error;

use cnc_core::fits::{ClusterOptions, GaussianMixture, MixtureOptions, PcaOptions, Points, classes_of_clusters};
use cnc_core::{Features, Slices};
use proptest::prelude::*;

use crate::reference::{Fixtures, apart};
use crate::samples::rng;

type TestResult = Result<(), Box<dyn Error>>;

fn mixture(values: &[f64], dim: usize, components: usize, seed: u64) -> cnc_core::Result<GaussianMixture> {
    MixtureOptions { components }.fit(Points { values, dim }, &mut rng(seed))
}

fn clusters(features: &Features<'_>, clusters: usize, components: usize, seed: u64) -> cnc_core::Result<Vec<u32>> {
    ClusterOptions { clusters, components }.fit(features, &mut rng(seed))?.predict(features)
}

#[test]
fn principal_components_equal_scikit_learn_up_to_their_sign() -> TestResult {
    let fixtures = Fixtures::load("clusters")?;
    let features = fixtures.floats("clusters.features")?;
    let features = Features::new(&features, 6)?;
    let found = PcaOptions { components: 2 }.fit(&features)?;
    let projected = found.project(&features)?;
    assert!(apart(found.variances(), &fixtures.numbers("clusters.variances")?) < 1e-12);
    let expected = fixtures.numbers("clusters.projected")?;
    for axis in 0..2 {
        let of = |values: &[f64]| values.iter().skip(axis).step_by(2).copied().collect::<Vec<_>>();
        let (found, expected) = (of(&projected), of(&expected));
        let opposite: Vec<f64> = expected.iter().map(|value| -value).collect();
        let off = apart(&found, &expected).min(apart(&found, &opposite));
        assert!(off < 1e-8, "axis {axis} off by {off:e}");
    }
    Ok(())
}

#[test]
fn a_line_in_the_plane_has_one_component_and_a_sign_of_its_own() -> TestResult {
    // Along (3, 4): distances of 0, 5 and 10, so a variance of 25, and nothing across.
    for shift in [0.0, 100.0] {
        let values = [0.0, 0.0, 3.0, 4.0, 6.0, 8.0].map(|value: f32| value + shift);
        let features = Features::new(&values, 2)?;
        let found = PcaOptions { components: 2 }.fit(&features)?;
        assert!(apart(found.variances(), &[25.0, 0.0]) < 1e-12, "{found:?}");
        assert!(apart(&found.project(&features)?, &[-5.0, 0.0, 0.0, 0.0, 5.0, 0.0]) < 1e-12, "{found:?}");
    }
    Ok(())
}

#[test]
fn a_gaussian_mixture_equals_scikit_learn() -> TestResult {
    let fixtures = Fixtures::load("clusters")?;
    let points = fixtures.numbers("clusters.projected")?;
    let mixture = mixture(&points, 2, 3, 1)?;
    let (log_likelihood, likelihoods) = mixture.likelihoods(&points);
    assert!(apart(&[log_likelihood], &fixtures.numbers("clusters.log_likelihood")?) < 1e-8);

    // Components come in any order: they are told by which points they take.
    let labels = fixtures.indices("clusters.labels")?;
    let of = classes_of_clusters(&labels, &mixture.predict(&points), 3)?;
    let expected = fixtures.numbers("clusters.likelihoods")?;
    for (at, component) in of.into_iter().zip(mixture.components()) {
        let at = at as usize;
        let part = |name: &str, size: usize| {
            Ok::<_, Box<dyn Error>>(fixtures.numbers(&format!("clusters.{name}"))?[at * size..(at + 1) * size].to_vec())
        };
        assert!(apart(&[component.weight], &part("weights", 1)?) < 1e-4, "{component:?}");
        assert!(apart(&component.mean, &part("means", 2)?) < 1e-4, "{component:?}");
        assert!(apart(&component.covariance, &part("covariances", 4)?) < 1e-4, "{component:?}");
    }
    let sharpest =
        |values: &[f64]| values.chunks(3).map(|of| of.iter().copied().fold(0.0, f64::max)).collect::<Vec<_>>();
    assert!(apart(&sharpest(&likelihoods), &sharpest(&expected)) < 1e-4);
    Ok(())
}

#[test]
fn clusters_of_representations_are_scikit_learns_whatever_the_seed() -> TestResult {
    let fixtures = Fixtures::load("clusters")?;
    let values = fixtures.floats("clusters.features")?;
    let labels = fixtures.indices("clusters.labels")?;
    for seed in 0..4 {
        let found = clusters(&Features::new(&values, 6)?, 3, 2, seed)?;
        let class_of = classes_of_clusters(&labels, &found, 3)?;
        let matched: Vec<u32> = found.iter().map(|&cluster| class_of[cluster as usize]).collect();
        assert_eq!(matched, labels, "seed {seed}");
        assert_eq!(found, clusters(&Features::new(&values, 6)?, 3, 2, seed)?);
    }
    Ok(())
}

#[test]
fn points_that_are_all_the_same_are_clustered_without_nan() -> TestResult {
    let mixture = mixture(&[2.0; 8], 2, 3, 0)?;
    let (log_likelihood, likelihoods) = mixture.likelihoods(&[2.0; 8]);
    assert!(log_likelihood.is_finite());
    assert!(likelihoods.iter().all(|likelihood| likelihood.is_finite()));
    assert_eq!(clusters(&Features::new(&[7.0; 6], 2)?, 2, 9, 0)?.len(), 3);
    Ok(())
}

#[test]
fn slices_by_cluster_do_not_care_how_clusters_are_numbered() -> TestResult {
    let labels = [0, 0, 0, 1, 1, 2, 2, 2];
    let clusters = [2, 2, 0, 0, 0, 1, 1, 2];
    let expected = Slices::from_predictions(&labels, &[0, 0, 1, 1, 1, 2, 2, 0], 3)?;
    assert_eq!(Slices::from_clusters(&labels, &clusters, 3)?, expected);
    for numbers in [[1, 2, 0], [0, 2, 1], [2, 1, 0]] {
        let renumbered: Vec<u32> = clusters.iter().map(|&cluster: &u32| numbers[cluster as usize]).collect();
        assert_eq!(Slices::from_clusters(&labels, &renumbered, 3)?, expected);
    }
    Ok(())
}

#[test]
fn what_cannot_be_clustered_is_refused_by_name() -> TestResult {
    let text = |error: cnc_core::Error| error.to_string();
    let values = [0.0f32; 4];
    let features = Features::new(&values, 2)?;
    assert!(
        text(PcaOptions { components: 3 }.fit(&features).expect_err("refused"))
            .starts_with("components must be at least 1")
    );
    assert!(text(clusters(&features, 3, 1, 0).expect_err("refused")).ends_with("number of points, not 3"));
    assert!(text(mixture(&[0.0; 3], 2, 1, 0).expect_err("refused")).starts_with("points must"));
    assert!(mixture(&[f64::NAN], 1, 1, 0).is_err());
    assert_eq!(
        text(classes_of_clusters(&[0, 1], &[0, 2], 2).expect_err("refused")),
        "row 1 has cluster 2, expected a class from 0 to 1 (2 classes)"
    );
    assert!(classes_of_clusters(&[0, 1], &[0], 2).is_err());
    Ok(())
}

/// All orders of `0..size`.
fn permutations(size: u32) -> Vec<Vec<u32>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(size - 1);
    let with_last =
        |order: Vec<u32>| (0..=order.len()).map(move |at| [&order[..at], &[size - 1], &order[at..]].concat());
    shorter.into_iter().flat_map(with_last).collect()
}

proptest! {
    #[test]
    fn no_permutation_of_the_classes_matches_more_samples(
        rows in prop::collection::vec((0u32..5, 0u32..5), 0..60),
    ) {
        let (labels, clusters): (Vec<u32>, Vec<u32>) = rows.iter().copied().unzip();
        let matched = |class_of: &[u32]| {
            rows.iter().filter(|&&(label, cluster)| class_of[cluster as usize] == label).count()
        };
        let found = classes_of_clusters(&labels, &clusters, 5).expect("an assignment");
        let mut sorted = found.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, [0, 1, 2, 3, 4]);
        let best = permutations(5).iter().map(|class_of| matched(class_of)).max();
        prop_assert_eq!(Some(matched(&found)), best);
    }
}
