//! Balanced draws, subsets and weights.

use cnc_core::methods::{BalancedSampler, class_weights, subsample, upsampled};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// 90 rows of group 0, 8 of group 2, 2 of group 5.
fn keys() -> Vec<u32> {
    [vec![0; 90], vec![2; 8], vec![5; 2]].concat()
}

#[test]
fn every_group_and_every_row_in_it_is_equally_likely() -> cnc_core::Result<()> {
    let keys = keys();
    let mut counts = vec![0u32; keys.len()];
    for row in BalancedSampler::new(&keys)?.draw(90_000, &mut ChaCha8Rng::seed_from_u64(1)) {
        counts[row as usize] += 1;
    }
    // Within five standard deviations of 30,000 draws a group.
    for (key, of_each, margin) in [(0, 333, 92), (2, 3750, 300), (5, 15_000, 560)] {
        for (&count, _) in counts.iter().zip(&keys).filter(|&(_, &of)| of == key) {
            assert!(count.abs_diff(of_each) < margin, "a row of group {key} came {count} times");
        }
    }
    Ok(())
}

#[test]
fn a_subsample_has_as_many_of_every_group_as_the_smallest_and_none_twice() -> cnc_core::Result<()> {
    let keys = keys();
    let rows = subsample(&keys, &mut ChaCha8Rng::seed_from_u64(1))?;
    let of = |key: u32| rows.iter().filter(|&&row| keys[row as usize] == key).count();
    assert_eq!([of(0), of(2), of(5)], [2, 2, 2]);
    let mut distinct = rows.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 6);
    assert_ne!(distinct, rows); // in random order, not group by group
    assert_eq!(rows, subsample(&keys, &mut ChaCha8Rng::seed_from_u64(1))?);
    assert_ne!(rows, subsample(&keys, &mut ChaCha8Rng::seed_from_u64(2))?);
    Ok(())
}

#[test]
fn errors_are_repeated_and_everything_else_comes_once() -> cnc_core::Result<()> {
    assert_eq!(upsampled(3, &[1], 0)?, [0, 1, 2]);
    let rows = upsampled(4, &[0, 3], 50)?;
    let times = |row: u32| rows.iter().filter(|&&at| at == row).count();
    assert_eq!([times(0), times(1), times(2), times(3)], [51, 1, 1, 51]);
    Ok(())
}

#[test]
fn class_weights_make_the_classes_count_the_same() -> cnc_core::Result<()> {
    let labels = [0, 0, 0, 0, 0, 0, 2, 2];
    let weights = class_weights(&labels, 4)?;
    assert_eq!(weights, [8.0 / 12.0, 0.0, 2.0, 0.0]);
    let mean = labels.iter().map(|&label| weights[label as usize]).sum::<f64>() / 8.0;
    assert!((mean - 1.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn what_cannot_be_balanced_is_refused_by_name() {
    let text = |error: cnc_core::Error| error.to_string();
    assert!(text(BalancedSampler::new(&[]).expect_err("refused")).starts_with("there are no samples"));
    assert!(subsample(&[], &mut ChaCha8Rng::seed_from_u64(0)).is_err());
    assert_eq!(
        text(upsampled(3, &[3], 2).expect_err("refused")),
        "the errors name row 3, but there are only 3 rows, numbered from 0"
    );
    assert!(text(upsampled(3, &[0, 1], u64::MAX).expect_err("refused")).contains("more than"));
    assert!(text(class_weights(&[0, 2], 2).expect_err("refused")).starts_with("row 1 has label 2"));
}
