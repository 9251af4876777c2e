//! The paired bootstrap on test sets that a reader can verify.

use cnc_core::Groups;
use cnc_core::evaluation::{Difference, PairedBootstrap, PairedDifference, TwoModels};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn bootstrap(
    labels: &[u32],
    a: &[u32],
    b: &[u32],
    groups: &[Vec<u32>],
    draws: usize,
) -> cnc_core::Result<PairedDifference> {
    let groups = &Groups::new(groups.iter().cloned(), labels.len())?;
    let samples = TwoModels { labels, predictions: [a, b], groups };
    PairedBootstrap { draws }.compare(&samples, &mut ChaCha8Rng::seed_from_u64(0))
}

fn compare(labels: &[u32], a: &[u32], b: &[u32], groups: &[Vec<u32>]) -> PairedDifference {
    bootstrap(labels, a, b, groups, 2000).expect("a comparison")
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let labels = [0, 0, 1, 1];
    let nothing = Difference { observed: 0.0, mean: 0.0, low: 0.0, high: 0.0, p: 1.0 };
    let found = compare(&labels, &[0, 1, 1, 0], &[0, 1, 1, 0], &[vec![0, 1], vec![2, 3]]);
    assert_eq!(found, PairedDifference { average: nothing, worst_group: Some(nothing) });
}

#[test]
fn always_right_against_always_wrong_is_certain() {
    let found = compare(&[0; 6], &[0; 6], &[1; 6], &[(0..6).collect()]);
    let certain = Difference { observed: 1.0, mean: 1.0, low: 1.0, high: 1.0, p: 2.0 / 2001.0 };
    assert_eq!(found, PairedDifference { average: certain, worst_group: Some(certain) });
}

#[test]
fn the_spread_of_the_average_is_that_of_the_pairs() {
    // 100 samples: a alone is right on 20, b alone on 10, both on 70. A pair's difference has mean 0.1 and variance
    // 0.3 - 0.01, so the mean of 100 has a standard deviation of 0.0539 and an interval of 0.1 ± 0.106.
    let labels = [0; 100];
    let a: Vec<u32> = (0..100).map(|row| u32::from((20..30).contains(&row))).collect();
    let b: Vec<u32> = (0..100).map(|row| u32::from(row < 20)).collect();
    let average = compare(&labels, &a, &b, &[(0..100).collect()]).average;
    assert!((average.observed - 0.1).abs() < 1e-12);
    assert!((average.mean - 0.1).abs() < 0.005, "{average:?}");
    assert!((average.low + 0.0056).abs() < 0.015 && (average.high - 0.2056).abs() < 0.015, "{average:?}");
    // Zero is 1.86 standard deviations away: twice the share of draws at or below it.
    assert!((0.05..0.11).contains(&average.p), "{average:?}");
}

#[test]
fn what_both_get_wrong_cancels() {
    // As hard a test set as may be: b is right where a is, and on ten samples more of a hundred.
    let labels = [0; 100];
    let a: Vec<u32> = (0..100).map(|row| u32::from(row < 60)).collect();
    let b: Vec<u32> = (0..100).map(|row| u32::from(row < 50)).collect();
    let average = compare(&labels, &a, &b, &[(0..100).collect()]).average;
    assert!((average.observed + 0.1).abs() < 1e-12);
    assert!(average.high < 0.0 && average.p < 0.01, "{average:?}");
    // Unpaired, the two accuracies of 0.4 and 0.5 would be within a standard deviation of 0.07 of each other.
    assert!(average.high - average.low < 0.14, "{average:?}");
}

#[test]
fn the_worst_group_is_each_models_own_and_groups_keep_their_size() {
    // a is wrong on group 0 alone (one sample, always drawn), b on half of group 1.
    let labels = [0; 41];
    let groups = [vec![0], (1..41).collect::<Vec<u32>>()];
    let a: Vec<u32> = (0..41).map(|row| u32::from(row == 0)).collect();
    let b: Vec<u32> = (0..41).map(|row| u32::from(row > 20)).collect();
    let worst = compare(&labels, &a, &b, &groups).worst_group.expect("groups with samples");
    assert_eq!(worst.observed, -0.5);
    // a's worst is 0 in every draw, so the difference is minus a share of 40 draws with a deviation of 0.079.
    assert!((worst.mean + 0.5).abs() < 0.01, "{worst:?}");
    assert!((worst.low + 0.65).abs() < 0.03 && (worst.high + 0.35).abs() < 0.03, "{worst:?}");
}

#[test]
fn overlapping_groups_and_rows_in_no_group_are_drawn_with_their_like() {
    let labels = [0, 0, 0, 0, 1];
    let groups = [vec![0, 1, 2], vec![2, 3], vec![]];
    // Row 4 is in no group, row 2 in two. a is right everywhere, b on rows 0, 1 and 3: row 2 alone is in its stratum,
    // so b's groups are at 2/3 and 1/2 in every draw.
    let found = compare(&labels, &[0, 0, 0, 0, 1], &[0, 0, 1, 0, 0], &groups);
    let worst = found.worst_group.expect("groups with samples");
    assert_eq!((worst.low, worst.observed, worst.high), (0.5, 0.5, 0.5));
    assert_eq!((found.average.low, found.average.high), (0.4, 0.4));
}

#[test]
fn without_groups_there_is_no_worst_one() {
    let found = compare(&[0, 1], &[0, 0], &[1, 1], &[]);
    assert_eq!(found.worst_group, None);
    assert_eq!(found.average.observed, 0.0);
}

#[test]
fn the_same_seed_draws_the_same_test_sets() {
    let labels = [0, 1, 0, 1, 0, 1, 0];
    let (a, b) = ([0, 1, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0]);
    let groups = [vec![0, 1, 2], vec![3, 4, 5, 6]];
    assert_eq!(compare(&labels, &a, &b, &groups), compare(&labels, &a, &b, &groups));
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let refused = |labels: &[u32], a: &[u32], b: &[u32], groups: &[Vec<u32>], draws| {
        bootstrap(labels, a, b, groups, draws).expect_err("refused").to_string()
    };
    assert!(refused(&[], &[], &[], &[], 10).starts_with("there are no samples"));
    assert_eq!(refused(&[0], &[0], &[0], &[], 0), "draws must be at least 1");
    assert!(refused(&[0], &[0, 1], &[0], &[], 10).starts_with("labels has 1 rows but predictions has 2"));
    assert!(refused(&[0], &[0], &[], &[], 10).starts_with("labels has 1 rows but predictions has 0"));
    assert_eq!(refused(&[0], &[0], &[0], &[vec![1]], 10), "group 0 lists row 1, but there are only 1 rows");
}
