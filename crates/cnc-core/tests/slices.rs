//! Slices, their fall-backs, and what they refuse.

use cnc_core::contrast::{Fallback, SliceCounts};
use cnc_core::{Error, Slices};
use proptest::prelude::*;

fn slices(labels: &[u32], predictions: &[u32], classes: usize) -> Slices {
    Slices::from_predictions(labels, predictions, classes).expect("slices")
}

fn negatives(slices: &Slices, slice: u32) -> Vec<u32> {
    slices.negatives(slice).iter().collect()
}

#[test]
fn right_samples_are_anchors_and_wrong_ones_negatives_here_and_positives_there() {
    let slices = slices(&[0, 0, 0, 1, 1, 2, 2], &[0, 0, 1, 1, 0, 2, 1], 3);
    assert_eq!([slices.anchors(0), slices.anchors(1), slices.anchors(2)], [&[0, 1][..], &[3], &[5]]);
    assert_eq!([negatives(&slices, 0), negatives(&slices, 1)], [vec![4], vec![2, 6]]);
    assert_eq!([slices.positives(0), slices.positives(1), slices.positives(2)], [&[2][..], &[4], &[6]]);
    assert_eq!(slices.slice_of(6), Some(1));
    assert_eq!(slices.slice_of(7), None);
    assert_eq!(slices.errors(), [2, 4, 6]);
    assert_eq!(slices.fallbacks(), [Fallback::SliceWithoutErrors { slice: 2, negatives: 5 }]);
    assert_eq!(slices.counts()[1], SliceCounts { slice: 1, anchors: 1, negatives: 2, positives: 1 });
    let line = slices.counts()[1].to_string();
    assert_eq!(line, "slice 1: 3 samples, 1 anchors, 2 negatives; class 1: 2 samples, 1 positives");
}

#[test]
fn a_class_without_errors_uses_its_own_samples_as_positives() {
    let slices = slices(&[0, 0, 1, 1, 1, 1], &[0, 0, 0, 0, 0, 1], 2);
    assert_eq!(slices.positives(0), [0, 1]);
    assert_eq!(slices.positives(1), [2, 3, 4]);
    let fallback = Fallback::ClassWithoutErrors { class: 0, positives: 2 };
    assert!(slices.fallbacks().contains(&fallback));
    assert_eq!(fallback.to_string(), "class 0 has no wrong samples: all 2 samples of the class are its positives");
}

#[test]
fn a_slice_without_errors_uses_all_samples_of_other_classes_as_negatives() {
    let slices = slices(&[1, 0, 2, 1, 0, 2], &[1, 0, 0, 1, 0, 2], 3);
    assert_eq!(negatives(&slices, 1), [1, 4, 2, 5]);
    let pool = slices.negatives(1);
    assert_eq!((pool.len(), pool.get(2), pool.get(3), pool.get(4)), (4, Some(2), Some(5), None));
}

#[test]
fn when_everything_is_right_every_fallback_is_taken_and_told() {
    let slices = slices(&[0, 0, 1, 1], &[0, 0, 1, 1], 2);
    assert_eq!(
        slices.fallbacks(),
        [
            Fallback::NoErrors { samples: 4 },
            Fallback::SliceWithoutErrors { slice: 0, negatives: 2 },
            Fallback::ClassWithoutErrors { class: 0, positives: 2 },
            Fallback::SliceWithoutErrors { slice: 1, negatives: 2 },
            Fallback::ClassWithoutErrors { class: 1, positives: 2 },
        ]
    );
    assert!(slices.fallbacks()[0].to_string().starts_with("error set empty (0 of 4)"));
    assert_eq!(slices.positives(1), [2, 3]);
}

#[test]
fn when_everything_is_wrong_no_slice_has_anchors() {
    let slices = slices(&[0, 0, 1], &[1, 1, 0], 2);
    assert!(slices.with_anchors().is_empty());
    assert_eq!(
        slices.fallbacks(),
        [
            Fallback::SliceWithoutAnchors { slice: 0, samples: 1 },
            Fallback::SliceWithoutAnchors { slice: 1, samples: 2 },
        ]
    );
}

#[test]
fn a_model_that_predicts_one_class_only_leaves_one_slice() {
    let slices = slices(&[0, 1, 2, 1], &[1, 1, 1, 1], 3);
    assert_eq!(slices.with_anchors(), [1]);
    assert!(slices.fallbacks().contains(&Fallback::OneSlice { slice: 1, samples: 4 }));
    assert!(slices.fallbacks().contains(&Fallback::SliceWithoutAnchors { slice: 0, samples: 0 }));
    let told: Vec<String> = slices.fallbacks().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|text| text == "slice 2 is empty: nothing is predicted as class 2; the slice is skipped"));
}

#[test]
fn a_class_that_no_sample_has_is_skipped() {
    let slices = slices(&[0, 2, 2], &[0, 2, 0], 3);
    assert_eq!(slices.with_anchors(), [0, 2]);
    assert!(slices.positives(1).is_empty());
}

#[test]
fn what_cannot_be_sliced_is_refused_with_the_row() {
    let error = |labels: &[u32], predictions: &[u32]| {
        Slices::from_predictions(labels, predictions, 2).expect_err("an error").to_string()
    };
    assert_eq!(error(&[], &[]), "there are no samples: at least one is needed");
    assert_eq!(error(&[0, 1], &[0]), "labels has 2 rows but predictions has 1: both must describe the same samples");
    assert_eq!(error(&[0, 2], &[0, 1]), "row 1 has label 2, expected a class from 0 to 1 (2 classes)");
    assert_eq!(error(&[0, 1], &[0, 7]), "row 1 has prediction 7, expected a class from 0 to 1 (2 classes)");
    assert_eq!(
        error(&[1, 1], &[0, 1]),
        "all 2 samples are of class 1: contrastive learning needs at least two classes"
    );
    assert!(matches!(Slices::from_predictions(&[0], &[0], 0), Err(Error::ClassOutOfRange { .. })));
}

#[test]
fn counts_and_fallbacks_serialise() {
    let slices = slices(&[0, 0, 1, 1], &[0, 0, 1, 0], 2);
    let json = serde_json::to_string(&(slices.counts(), slices.fallbacks())).expect("json");
    assert_eq!(
        json,
        concat!(
            r#"[[{"slice":0,"anchors":2,"negatives":1,"positives":0},{"slice":1,"anchors":1,"negatives":0,"positives":1}],"#,
            r#"[{"kind":"class_without_errors","class":0,"positives":2},{"kind":"slice_without_errors","slice":1,"negatives":2}]]"#
        )
    );
    let read: (Vec<SliceCounts>, Vec<Fallback>) = serde_json::from_str(&json).expect("what was written");
    assert_eq!((&read.0[..], &read.1[..]), (&slices.counts()[..], slices.fallbacks()));
}

proptest! {
    #[test]
    fn every_pool_holds_what_it_says(rows in prop::collection::vec((0u32..4, 0u32..4), 2..60)) {
        let (labels, predictions): (Vec<u32>, Vec<u32>) = rows.into_iter().unzip();
        let Ok(slices) = Slices::from_predictions(&labels, &predictions, 4) else {
            prop_assert!(labels.iter().all(|label| *label == labels[0]));
            return Ok(());
        };
        let is = |column: &[u32], row: u32, value: u32| column[row as usize] == value;
        for s in 0..4 {
            prop_assert!(slices.anchors(s).iter().all(|&row| is(&labels, row, s) && is(&predictions, row, s)));
            prop_assert!(slices.negatives(s).iter().all(|row| !is(&labels, row, s)));
            prop_assert!(slices.positives(s).iter().all(|&row| is(&labels, row, s)));
            if !slices.anchors(s).is_empty() {
                prop_assert!(!slices.negatives(s).is_empty() && !slices.positives(s).is_empty());
            }
        }
        let placed: usize = slices.counts().iter().map(SliceCounts::samples).sum();
        prop_assert_eq!(placed, labels.len());
    }
}
