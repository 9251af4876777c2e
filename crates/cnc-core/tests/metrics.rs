//! Group metrics, intervals and alignment.

use candle_core::{Device, Tensor};
use cnc_core::evaluation::calibration::BINS;
use cnc_core::evaluation::{
    Alignment, Calibration, CounterfactualFlips, Interval, Lengths, Proportion, SAMPLES_PER_GROUP, area_under_roc,
};
use cnc_core::{Evaluation, Groups};
use proptest::prelude::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn close(found: Option<f64>, expected: f64, tolerance: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() <= tolerance), "{found:?}, expected {expected}");
}

fn evaluate(labels: &[u32], predictions: &[u32], groups: &[Vec<u32>]) -> cnc_core::Result<Evaluation> {
    Evaluation::new(labels, predictions, &Groups::new(groups.iter().cloned(), labels.len())?)
}

/// Groups as pairs of a class and rows.
fn measure(representations: &Tensor, groups: &[(u32, &[u32])], lengths: Lengths) -> cnc_core::Result<Alignment> {
    let (classes, rows): (Vec<u32>, Vec<&[u32]>) = groups.iter().copied().unzip();
    Alignment::measure(representations, &Groups::new(rows, representations.dim(0)?)?, &classes, lengths)
}

/// Groups of class 0 whose first `correct` of `count` rows are predicted right.
fn evaluation_of(groups: &[(usize, usize)]) -> Evaluation {
    let (mut predictions, mut rows) = (Vec::<u32>::new(), Vec::new());
    for &(correct, count) in groups {
        let start = predictions.len() as u32;
        predictions.extend((0..count).map(|row| u32::from(row >= correct)));
        rows.push((start..predictions.len() as u32).collect::<Vec<_>>());
    }
    evaluate(&vec![0; predictions.len()], &predictions, &rows).expect("an evaluation")
}

#[test]
fn the_three_averages_of_waterbirds_have_their_own_names() -> TestResult {
    // Accuracies .99, .80, .60, .95 on a split of unequal groups.
    let evaluation = evaluation_of(&[(198, 200), (160, 200), (60, 100), (95, 100)]);
    let (worst, proportion) = evaluation.worst_group().ok_or("no worst group")?;
    assert_eq!((worst, proportion), (2, Proportion { correct: 60, count: 100 }));
    close(evaluation.adjusted_average(&[3498, 184, 56, 1057])?, 0.9693, 5e-5);
    close(evaluation.group_mean(), 0.835, 1e-12);
    close(evaluation.average().accuracy(), 513.0 / 600.0, 1e-12);
    Ok(())
}

#[test]
fn a_group_without_samples_takes_no_part_and_is_null() -> TestResult {
    let evaluation = evaluation_of(&[(3, 4), (0, 0), (2, 2)]);
    assert_eq!(evaluation.worst_group(), Some((0, Proportion { correct: 3, count: 4 })));
    close(evaluation.group_mean(), 0.875, 1e-12);
    close(evaluation.adjusted_average(&[1, 1000, 1])?, 0.875, 1e-12);
    assert_eq!((evaluation.groups()[1].accuracy(), evaluation.groups()[1].wilson()), (None, None));
    let json = serde_json::to_value((evaluation.groups()[1].accuracy(), &evaluation))?;
    assert!(json[0].is_null());
    assert_eq!(serde_json::from_value::<Evaluation>(json[1].clone())?, evaluation);
    Ok(())
}

#[test]
fn without_any_samples_there_is_no_figure() -> TestResult {
    let evaluation = evaluation_of(&[(0, 0), (0, 0)]);
    assert_eq!(evaluation.worst_group(), None);
    assert_eq!(evaluation.worst_class(), None);
    assert_eq!(evaluation.group_mean(), None);
    assert_eq!(evaluation.average().accuracy(), None);
    assert_eq!(evaluation.adjusted_average(&[1, 1])?, None);
    assert_eq!(evaluation.only_prediction(), None);
    Ok(())
}

#[test]
fn the_first_of_equally_bad_groups_is_the_worst() {
    assert_eq!(evaluation_of(&[(1, 1), (1, 2), (2, 4)]).worst_group().map(|(group, _)| group), Some(1));
}

#[test]
fn groups_may_overlap_and_leave_rows_out() -> TestResult {
    let evaluation = evaluate(&[1, 1, 0, 0], &[1, 0, 0, 0], &[vec![0, 1], vec![1, 2]])?;
    assert!(evaluation.groups_overlap());
    assert_eq!(evaluation.groups(), [Proportion { correct: 1, count: 2 }; 2]);
    assert_eq!(evaluation.average(), Proportion { correct: 3, count: 4 });
    assert!(!evaluate(&[1, 1], &[1, 0], &[vec![0], vec![1]])?.groups_overlap());
    Ok(())
}

#[test]
fn the_worst_class_needs_no_groups() -> TestResult {
    let evaluation = evaluate(&[0, 0, 4, 4], &[0, 0, 4, 0], &[])?;
    assert_eq!(evaluation.worst_class(), Some((4, Proportion { correct: 1, count: 2 })));
    assert_eq!(evaluation.classes().len(), 2);
    assert_eq!(evaluation.worst_group(), None);
    Ok(())
}

#[test]
fn a_model_that_predicts_one_class_only_is_noticed() {
    assert_eq!(evaluation_of(&[(2, 2)]).only_prediction(), Some(0));
    assert_eq!(evaluation_of(&[(1, 2)]).only_prediction(), None);
}

#[test]
fn rows_and_lengths_that_do_not_fit_are_named() {
    let error = evaluate(&[0, 1], &[0, 1], &[vec![0], vec![1, 2]]).expect_err("an error");
    assert_eq!(error.to_string(), "group 1 lists row 2, but there are only 2 rows");
    let error = evaluate(&[0], &[0, 1], &[vec![0]]).expect_err("an error");
    assert!(error.to_string().starts_with("labels has 1 rows but predictions has 2"));
    let error = evaluation_of(&[(1, 1)]).adjusted_average(&[1, 2]).expect_err("an error");
    assert!(error.to_string().starts_with("groups has 1 rows but training counts has 2"));
}

#[test]
fn wilson_intervals_equal_published_values() -> TestResult {
    // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I (score method).
    for (correct, count, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    {
        let interval = Proportion { correct, count }.wilson().ok_or("no interval")?;
        close(Some(interval.low), low, 5e-5);
        close(Some(interval.high), high, 5e-5);
    }
    assert_eq!(Proportion { correct: 20, count: 20 }.wilson().ok_or("no interval")?.high, 1.0);
    Ok(())
}

#[test]
fn none_and_all_are_the_exact_ends_of_their_intervals() {
    for count in [1, 20, 29, 496, 1_000_003] {
        let wilson = |correct| Proportion { correct, count }.wilson().expect("an interval");
        let (Interval { low, high }, all) = (wilson(0), wilson(count));
        assert_eq!((low, all.high), (0.0, 1.0), "of {count}");
        assert!(0.0 < high && 0.0 < all.low && all.low < 1.0, "of {count}");
        assert!(count < 2 || wilson(1).low > 0.0 && wilson(count - 1).high < 1.0, "of {count}");
    }
}

#[test]
fn an_image_flips_when_any_of_its_versions_is_predicted_differently() -> TestResult {
    let flips = CounterfactualFlips::count(&[1, 1, 1, 2, 0, 2], 3)?;
    assert_eq!((flips.flipped, flips.images, flips.rate()), (1, 2, Some(0.5)));
    assert!(flips.wilson().is_some());
    assert_eq!(CounterfactualFlips::count(&[], 3)?.rate(), None);
    assert_eq!(CounterfactualFlips::count(&[4, 2], 1)?.rate(), Some(0.0));
    let error = CounterfactualFlips::count(&[1, 1, 1, 1], 3).expect_err("an error");
    assert_eq!(error.to_string(), "4 predictions cannot be split into images of 3 versions each");
    assert!(CounterfactualFlips::count(&[1], 0).is_err());
    Ok(())
}

#[test]
fn alignment_compares_groups_of_a_class_and_not_classes() -> TestResult {
    let representations = Tensor::new(&[[0f32, 0.0], [0.0, 2.0], [4.0, 0.0], [100.0, 0.0]], &Device::Cpu)?;
    let groups = [(0, &[0][..]), (0, &[1]), (0, &[2]), (0, &[]), (1, &[3])];
    let alignment = measure(&representations, &groups, Lengths::Raw)?;
    assert_eq!(alignment.classes().len(), 1, "class 1 has one group only");
    // Distances 2, 4 and the root of 20.
    close(alignment.mean(), (2.0 + 4.0 + 20f64.sqrt()) / 3.0, 1e-12);
    close(alignment.worst().map(|class| class.largest), 20f64.sqrt(), 1e-12);

    let unit = measure(&representations, &[(0, &[1]), (0, &[2])], Lengths::Unit)?;
    close(unit.mean(), 2f64.sqrt(), 1e-12);
    Ok(())
}

#[test]
fn alignment_has_no_figure_without_two_groups_and_refuses_nan() -> TestResult {
    let representations = Tensor::new(&[[f32::NAN], [1.0]], &Device::Cpu)?;
    assert_eq!(measure(&representations, &[(0, &[1])], Lengths::Raw)?.mean(), None);
    for lengths in [Lengths::Raw, Lengths::Unit] {
        let error = measure(&representations, &[(3, &[0]), (3, &[1])], lengths).expect_err("an error").to_string();
        assert!(error.starts_with("alignment loss of class 3 is not finite"), "{error}");
    }
    let error = measure(&representations, &[(0, &[2])], Lengths::Raw);
    assert!(error.is_err_and(|error| error.to_string() == "group 0 lists row 2, but there are only 2 rows"));
    Ok(())
}

#[test]
fn large_groups_are_sampled_evenly_and_the_same_way_every_time() -> TestResult {
    let rows: Vec<f32> = (0..4000).map(|row| row as f32).collect();
    let representations = Tensor::from_vec(rows, (4000, 1), &Device::Cpu)?;
    let (many, one): (Vec<u32>, Vec<u32>) = ((0..3999).collect(), vec![0]);
    assert!(many.len() > SAMPLES_PER_GROUP);
    let groups = [(0, &many[..]), (0, &one)];
    let found = measure(&representations, &groups, Lengths::Raw)?;
    close(found.mean(), 1999.0, 5.0);
    assert_eq!(found, measure(&representations, &groups, Lengths::Raw)?);
    Ok(())
}

proptest! {
    #[test]
    fn intervals_hold_their_accuracy_and_stay_inside(count in 1usize..5000, share in 0.0f64..=1.0) {
        let proportion = Proportion { correct: (count as f64 * share) as usize, count };
        let (accuracy, interval) = (proportion.accuracy().expect("an accuracy"), proportion.wilson().expect("one"));
        prop_assert!(0.0 <= interval.low && interval.low <= accuracy + 1e-12);
        prop_assert!(accuracy - 1e-12 <= interval.high && interval.high <= 1.0);
    }
}

/// Figures of scikit-learn 1.9 (`precision_score`, `f1_score`, `roc_auc_score`) and, for calibration, of numpy by the definition of
/// Guo et al. over 15 bins, of samples that both sides compute from the row.
#[test]
fn precision_f1_the_area_and_calibration_are_those_of_other_programs() -> TestResult {
    let rows = 0..60_u32;
    let labels: Vec<u32> = rows.clone().map(|i| i * 7 % 3).collect();
    let predictions: Vec<u32> =
        rows.clone().map(|i| if i % 11 == 3 { 0 } else { (i * 7 % 3 + u32::from(i % 5 == 0)) % 3 }).collect();
    let evaluation = evaluate(&labels, &predictions, &[])?;
    let precision: Vec<_> = evaluation.classes().iter().map(|class| class.precision.accuracy()).collect();
    for (found, expected) in precision.into_iter().zip([0.666_666_67, 0.789_473_68, 0.823_529_41]) {
        close(found, expected, 1e-8);
    }
    for (class, expected) in evaluation.classes().iter().zip([0.727_272_73, 0.769_230_77, 0.756_756_76]) {
        close(class.f1(), expected, 1e-8);
    }
    assert_eq!(evaluation.worst_precision().map(|(class, _)| class), Some(0));
    assert_eq!(evaluation.worst_f1().map(|(class, _)| class), Some(0));

    let scores: Vec<f32> = rows.clone().map(|i| (i * 37 % 16) as f32 / 16.0).collect();
    let positive: Vec<bool> = rows.clone().map(|i| i * 29 % 7 < 3).collect();
    close(area_under_roc(&scores, &positive)?, 0.502_244_668_911_335_6, 1e-12);
    assert_eq!(area_under_roc(&scores, &[true; 60])?, None);
    assert!(area_under_roc(&[f32::NAN], &[true]).is_err());

    let confidences: Vec<f32> = rows.clone().map(|i| (i * 53 % 97 + 1) as f32 / 100.0).collect();
    let right: Vec<bool> = rows.map(|i| i * 31 % 5 != 0).collect();
    let calibration = Calibration::new(&confidences, &right, BINS)?;
    close(calibration.error(), 0.362_499_999_689_559_2, 1e-9);
    assert_eq!(calibration.bins().iter().map(|bin| bin.accuracy.count).sum::<usize>(), 60);
    assert_eq!(Calibration::new(&[], &[], BINS)?.error(), None);
    assert!(Calibration::new(&[f32::NAN], &[true], BINS).is_err() && Calibration::new(&[], &[], 0).is_err());
    Ok(())
}

#[test]
fn a_class_that_is_never_predicted_has_an_f1_of_0_and_no_precision() -> TestResult {
    let evaluation = evaluate(&[0, 0, 1], &[0, 0, 0], &[])?;
    assert_eq!(evaluation.worst_f1(), Some((1, 0.0)));
    assert_eq!(evaluation.classes()[1].precision.accuracy(), None);
    Ok(())
}
