//! Contrastive batches and plain batches.

use std::collections::BTreeSet;

use cnc_core::contrast::{Lead, Role, SmallPool};
use cnc_core::draws::{shuffled, shuffled_batches};
use cnc_core::{ContrastiveSampler, Error, Slices};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn sampler(labels: &[u32], predictions: &[u32], classes: usize, per_part: usize) -> ContrastiveSampler {
    let slices = Slices::from_predictions(labels, predictions, classes).expect("slices");
    ContrastiveSampler::new(slices, per_part).expect("a sampler")
}

/// Three classes; class 0 is predicted right, wrongly as 1 and wrongly as 2.
const LABELS: [u32; 12] = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
const PREDICTIONS: [u32; 12] = [0, 0, 0, 0, 1, 2, 1, 1, 0, 2, 2, 0];

#[test]
fn the_anchor_leads_and_the_easy_negatives_come_from_the_first_positives_slice() {
    let sampler = sampler(&LABELS, &PREDICTIONS, 3, 2);
    let mut rng = rng(1);
    for _ in 0..50 {
        let batch = sampler.draw_for(Lead { slice: 0, anchor: 2 }, &mut rng).expect("a batch");
        assert_eq!(batch.anchors[0], 2);
        assert_ne!(batch.anchors[1], 2);
        let expected = if batch.positives[0] == 4 { BTreeSet::from([6, 7]) } else { BTreeSet::from([9, 10]) };
        assert_eq!(BTreeSet::from_iter(batch.easy_negatives.clone()), expected);
        assert_eq!(BTreeSet::from_iter(batch.negatives.clone()), BTreeSet::from([8, 11]));
        assert_eq!((batch.rows().len(), batch.sizes()), (8, [2; 4]));
    }
}

#[test]
fn rows_come_without_replacement_where_the_pool_is_large_enough() {
    let (labels, predictions): (Vec<u32>, Vec<u32>) = (0..400).map(|row| (row % 2, row / 2 % 2)).unzip();
    let sampler = sampler(&labels, &predictions, 2, 100);
    assert!(sampler.notes().is_empty());
    let batch = sampler.draw(0, &mut rng(0)).expect("a batch");
    for part in [&batch.anchors, &batch.positives, &batch.negatives, &batch.easy_negatives] {
        assert_eq!(BTreeSet::from_iter(part).len(), 100);
    }
}

#[test]
fn a_pool_that_is_too_small_is_drawn_from_with_replacement_and_told() {
    let sampler = sampler(&LABELS, &PREDICTIONS, 3, 3);
    let batch = sampler.draw(1, &mut rng(0)).expect("a batch");
    assert_eq!(batch.sizes(), [3; 4]);
    assert!(sampler.notes().contains(&SmallPool { slice: 1, role: Role::Negatives, size: 1, per_part: 3 }));
    let told: Vec<String> = sampler.notes().iter().map(ToString::to_string).collect();
    assert!(told.contains(&"slice 1 has 1 negatives for the 3 of a batch: drawn with replacement".to_owned()));
    assert!(told.contains(&"class 0 has 2 positives for the 3 of a batch: drawn with replacement".to_owned()));
    assert!(!told.iter().any(|text| text.starts_with("slice 0 has 4 anchors")));
}

#[test]
fn positives_from_the_anchors_own_slice_take_easy_negatives_from_the_next_slice_with_anchors() {
    // Class 0 has no wrong sample, slice 1 no anchors: the next slice with anchors after 0 is 2, after 2 it is 0.
    let sampler = sampler(&[0, 0, 1, 2, 2], &[0, 0, 2, 2, 1], 3, 1);
    let mut rng = rng(0);
    for _ in 0..20 {
        assert_eq!(sampler.draw(0, &mut rng).expect("a batch").easy_negatives, [3]);
        let batch = sampler.draw(2, &mut rng).expect("a batch");
        assert_eq!((&batch.positives[..], batch.slice), (&[4][..], 2));
        assert!(batch.easy_negatives[0] < 2, "row 4 came from slice 1, which has no anchors: slice 0 is next");
    }
    assert_eq!(sampler.drawable(), [0, 2]);
}

#[test]
fn with_one_slice_the_easy_negatives_are_the_negatives() {
    let sampler = sampler(&[0, 0, 1, 1], &[0, 0, 0, 0], 2, 2);
    let batch = sampler.draw(0, &mut rng(0)).expect("a batch");
    assert_eq!(BTreeSet::from_iter(batch.easy_negatives), BTreeSet::from([2, 3]));
    assert_eq!(BTreeSet::from_iter(batch.positives), BTreeSet::from([0, 1]));
}

#[test]
fn an_epoch_leads_with_as_many_anchors_of_each_slice_as_the_smallest_has() {
    let sampler = sampler(&LABELS, &PREDICTIONS, 3, 4);
    let epoch = sampler.epoch(&mut rng(5));
    assert_eq!((sampler.batches_per_epoch(), epoch.len()), (6, 6));
    assert_eq!(epoch.iter().map(|lead| lead.slice).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    assert_eq!(BTreeSet::from_iter(epoch.iter().map(|lead| lead.anchor)).len(), 6);
    let mut rng = rng(6);
    for lead in epoch {
        assert_eq!(sampler.draw_for(lead, &mut rng).expect("a batch").anchors[0], lead.anchor);
    }
}

#[test]
fn the_same_seed_gives_the_same_batches_today_and_on_every_platform() {
    let sampler = sampler(&LABELS, &PREDICTIONS, 3, 2);
    let batch = sampler.draw(0, &mut rng(42)).expect("a batch");
    assert_eq!(batch, sampler.draw(0, &mut rng(42)).expect("a batch"));
    assert_eq!(batch.rows(), [0, 3, 4, 5, 11, 8, 7, 6]);
    assert_eq!(shuffled(8, &mut rng(42)), [2, 5, 7, 3, 6, 0, 4, 1]);
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let slices = Slices::from_predictions(&[0, 1, 1], &[1, 1, 1], 2).expect("slices");
    let error = ContrastiveSampler::new(slices.clone(), 0).expect_err("an error");
    assert_eq!(error.to_string(), "per_part must be at least 1");
    let sampler = ContrastiveSampler::new(slices, 1).expect("a sampler");
    let error = |slice| sampler.draw(slice, &mut rng(0)).expect_err("an error").to_string();
    assert_eq!(error(0), "slice 0 has no anchors; slices that can be drawn: [1]");
    assert_eq!(error(9), "slice 9 has no anchors; slices that can be drawn: [1]");
    let error = sampler.draw_for(Lead { slice: 1, anchor: 0 }, &mut rng(0)).expect_err("an error");
    assert_eq!(error.to_string(), "row 0 is not an anchor of slice 1");
    let all_wrong = Slices::from_predictions(&[0, 1], &[1, 0], 2).expect("slices");
    assert!(matches!(ContrastiveSampler::new(all_wrong, 1), Err(Error::NoAnchors { samples: 2 })));
    assert!(matches!(shuffled_batches(3, 0, &mut rng(0)), Err(Error::ZeroSize { option: "batch" })));
}

#[test]
fn a_plain_epoch_has_every_row_once_and_a_shorter_last_batch() {
    let batches = shuffled_batches(10, 4, &mut rng(0)).expect("batches");
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(BTreeSet::from_iter(batches.concat()), BTreeSet::from_iter(0..10));
    assert!(shuffled_batches(0, 4, &mut rng(0)).expect("no batches").is_empty());
}

#[test]
fn draws_are_uniform() {
    // 10 of 40 rows, 4,000 times: each row is expected 1,000 times, with a standard deviation of 27.
    let labels: Vec<u32> = (0..80).map(|row| row % 2).collect();
    let sampler = sampler(&labels, &labels, 2, 10);
    let mut counts = [0u32; 80];
    let mut rng = rng(3);
    for _ in 0..4000 {
        for row in sampler.draw(0, &mut rng).expect("a batch").anchors {
            counts[row as usize] += 1;
        }
    }
    let drawn: Vec<u32> = counts.into_iter().step_by(2).collect();
    assert!(drawn.iter().all(|count| (860..1140).contains(count)), "{drawn:?}");
    assert_eq!(counts.iter().skip(1).step_by(2).sum::<u32>(), 0);
}

proptest! {
    #[test]
    fn every_row_is_of_the_pool_that_it_should_be_of(
        rows in prop::collection::vec((0u32..4, 0u32..4), 2..60),
        per_part in 1usize..20,
        seed: u64,
    ) {
        let (labels, predictions): (Vec<u32>, Vec<u32>) = rows.into_iter().unzip();
        let Ok(slices) = Slices::from_predictions(&labels, &predictions, 4) else { return Ok(()) };
        let Ok(sampler) = ContrastiveSampler::new(slices, per_part) else { return Ok(()) };
        let mut rng = rng(seed);
        let slices = sampler.slices();
        for &slice in sampler.drawable() {
            let batch = sampler.draw(slice, &mut rng).expect("a batch");
            prop_assert_eq!(batch.sizes(), [per_part; 4]);
            let negatives: Vec<u32> = slices.negatives(slice).iter().collect();
            prop_assert!(batch.anchors.iter().all(|row| slices.anchors(slice).contains(row)));
            prop_assert!(batch.positives.iter().all(|row| slices.positives(slice).contains(row)));
            prop_assert!(batch.negatives.iter().all(|row| negatives.contains(row)));
            prop_assert!(batch.easy_negatives.iter().all(|&row| labels[row as usize] != slice));
            let origin = slices.slice_of(batch.positives[0]).expect("a slice");
            if origin != slice && !slices.anchors(origin).is_empty() {
                prop_assert!(batch.easy_negatives.iter().all(|row| slices.anchors(origin).contains(row)));
            }
            for (part, pool) in [(&batch.anchors, slices.anchors(slice).len()), (&batch.negatives, negatives.len())] {
                if pool >= per_part {
                    prop_assert_eq!(BTreeSet::from_iter(part).len(), per_part);
                }
            }
        }
    }
}
