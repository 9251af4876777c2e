//! Folds are even in every class.

use cnc_core::contrast::folds;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn draw(labels: &[u32], k: usize, seed: u64) -> cnc_core::Result<Vec<u32>> {
    folds(labels, k, &mut ChaCha8Rng::seed_from_u64(seed))
}

#[test]
fn ten_rows_of_two_classes_in_two_folds() -> cnc_core::Result<()> {
    let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
    let found = draw(&labels, 2, 0)?;
    let of = |class: u32| found.iter().zip(&labels).filter(|&(&fold, &label)| fold == 0 && label == class).count();
    assert_eq!([of(0), of(1)], [3, 2]);
    assert_eq!(found, draw(&labels, 2, 0)?);
    assert!((1..20).any(|seed| draw(&labels, 2, seed).is_ok_and(|other| other != found)));
    Ok(())
}

#[test]
fn a_number_of_folds_that_leaves_nothing_to_train_on_is_refused() {
    for (labels, k) in [(&[0, 1][..], 0), (&[0, 1], 1), (&[0, 1], 3)] {
        let error = draw(labels, k, 0).expect_err("refused").to_string();
        assert_eq!(error, format!("number of folds must be at least 2 and at most the number of rows, not {k}"));
    }
    assert!(draw(&[], 2, 0).is_err());
}

proptest! {
    #[test]
    fn every_class_and_everything_is_spread_evenly(labels in prop::collection::vec(0u32..4, 5..80), k in 2usize..6, seed: u64) {
        let found = draw(&labels, k, seed).expect("folds");
        prop_assert!(found.iter().all(|&fold| (fold as usize) < k));
        let spread = |of: &dyn Fn(u32) -> bool| {
            let mut counts = vec![0; k];
            found.iter().zip(&labels).filter(|&(_, &label)| of(label)).for_each(|(&fold, _)| counts[fold as usize] += 1);
            counts.iter().max().copied().unwrap_or(0) - counts.iter().min().copied().unwrap_or(0)
        };
        prop_assert!(spread(&|_| true) <= 1);
        prop_assert!((0..4).all(|class| spread(&|label| label == class) <= 1));
    }
}
