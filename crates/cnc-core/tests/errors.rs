//! What goes with errors, and which labels are likely wrong.

use cnc_core::evaluation::{Errors, Property, find, label_issues};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
}

/// Samples of two classes; a row's errors, category of three values and number are functions of the row.
struct Sample {
    labels: Vec<u32>,
    wrong: Vec<bool>,
    category: Vec<u32>,
    number: Vec<f64>,
    rows: Vec<u32>,
}

fn sample() -> Sample {
    let rows: Vec<u32> = (0..240).collect();
    let of = |f: fn(u32) -> u32| rows.iter().map(|row| f(*row)).collect::<Vec<u32>>();
    Sample {
        labels: of(|i| i % 2),
        wrong: rows.iter().map(|i| (i * 37 % 101) < 30 || (i % 3 == 1 && i % 2 == 0 && i * 7 % 5 < 2)).collect(),
        category: of(|i| i % 3),
        number: rows.iter().map(|i| f64::from(i * 53 % 29)).collect(),
        rows: rows.clone(),
    }
}

#[test]
fn the_statistics_are_those_of_scipy_class_by_class() -> TestResult {
    let Sample { labels, wrong, category, number, rows } = sample();
    let errors = Errors { wrong: &wrong, labels: &labels, rows: &rows };
    // scipy 1.17: chi2_contingency (without correction) of each class times (n - 1) / n, summed; mannwhitneyu's tie-corrected
    // z without continuity, squared and summed; the survival function of chi2 with 4 and 2 degrees of freedom.
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let found = errors.association(&Property::Category(&category), rng)?;
    close(found.statistic, CATEGORY.0, 1e-9);
    close(found.p, CATEGORY.1, 1e-12);
    assert_eq!(found.freedom, 4);
    let found = errors.association(&Property::Number(&number), rng)?;
    close(found.statistic, NUMBER.0, 1e-9);
    close(found.p, NUMBER.1, 1e-12);
    assert_eq!(found.freedom, 2);
    let clearest = errors.contrasts(&Property::Category(&category))?[0];
    assert_eq!((clearest.class, clearest.value), (0, 1.0));
    let interval = clearest.interval().ok_or("an interval")?;
    assert!(interval.low < clearest.difference().ok_or("a difference")? && interval.high < 1.0);
    Ok(())
}

const CATEGORY: (f64, f64) = (14.561_076_555_023_924, 0.005_703_756_410_198_4);
const NUMBER: (f64, f64) = (0.050_867_988_991_805_405, 0.974_886_724_731_834);

/// Errors of 2,000 samples in 4 classes, 20 columns of noise of both kinds, and one more, the first, that errors come with or not.
struct Planted {
    wrong: Vec<bool>,
    labels: Vec<u32>,
    categories: Vec<Vec<u32>>,
    numbers: Vec<Vec<f64>>,
}

fn planted(seed: u64, is_planted: bool) -> Planted {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let count = 2000;
    let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..4)).collect();
    let attribute: Vec<u32> = (0..count).map(|_| rng.random_range(0..4)).collect();
    // As a spurious attribute does: it helps the class that it goes with and harms the others.
    let rate = |(label, attribute): (&u32, &u32)| match (is_planted, label == attribute) {
        (false, _) => 0.2,
        (true, false) => 0.35,
        (true, true) => 0.05,
    };
    let wrong = labels.iter().zip(&attribute).map(rate).map(|rate| rng.random::<f64>() < rate).collect();
    let mut categories = vec![attribute];
    categories.extend((0..10).map(|k| (0..count).map(|_| rng.random_range(0..2 + k)).collect()));
    let numbers = (0..10).map(|_| (0..count).map(|_| rng.random::<f64>()).collect()).collect();
    Planted { wrong, labels, categories, numbers }
}

fn properties<'a>(categories: &'a [Vec<u32>], numbers: &'a [Vec<f64>]) -> Vec<Property<'a>> {
    let categories = categories.iter().map(|values| Property::Category(values));
    categories.chain(numbers.iter().map(|values| Property::Number(values))).collect()
}

#[test]
fn a_planted_attribute_among_20_columns_of_noise_is_first_and_confirmed_in_10_of_10_seeds() -> TestResult {
    for seed in 0..10 {
        let Planted { wrong, labels, categories, numbers } = planted(seed, true);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let findings = find(&wrong, &labels, &properties(&categories, &numbers), rng)?;
        assert_eq!(findings[0].property, 0, "seed {seed}");
        assert!(findings[0].is_confirmed(), "seed {seed}: {:?}", findings[0]);
        assert_eq!(findings.len(), 21);
    }
    Ok(())
}

#[test]
fn without_anything_planted_nothing_is_confirmed_in_at_least_19_of_20_seeds() -> TestResult {
    let mut alarms = 0;
    for seed in 100..120 {
        let Planted { wrong, labels, categories, numbers } = planted(seed, false);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let findings = find(&wrong, &labels, &properties(&categories, &numbers), rng)?;
        alarms += usize::from(findings.iter().any(cnc_core::evaluation::Finding::is_confirmed));
    }
    assert!(alarms <= 1, "{alarms} of 20");
    Ok(())
}

/// Errors are rare, and the columns of noise have so many values that hardly any value has an error by chance.
#[test]
fn rare_errors_and_columns_of_many_values_give_no_false_alarm() -> TestResult {
    let (mut found, mut alarms) = (0, 0);
    for seed in 0..20 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<u32> = (0..3000).map(|_| rng.random_range(0..10)).collect();
        let wrong: Vec<bool> = labels.iter().map(|_| rng.random::<f64>() < 0.02).collect();
        let columns: Vec<Vec<u32>> =
            (0..20).map(|k| labels.iter().map(|_| rng.random_range(0..20 + k)).collect()).collect();
        let findings = find(&wrong, &labels, &properties(&columns, &[]), rng)?;
        found += usize::from(findings.iter().any(|finding| finding.tested.is_some()));
        alarms += usize::from(findings.iter().any(cnc_core::evaluation::Finding::is_confirmed));
    }
    assert!(found <= 4 && alarms == 0, "{found} found and {alarms} confirmed of 20");
    Ok(())
}

#[test]
fn a_planted_number_is_first_in_at_least_9_of_10_seeds() -> TestResult {
    let mut first = 0;
    for seed in 0..10 {
        let Planted { labels, categories, mut numbers, .. } = planted(seed, false);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed + 50);
        let wrong: Vec<bool> = numbers[3].iter().map(|value| rng.random::<f64>() < 0.05 + 0.4 * value).collect();
        numbers.rotate_left(3);
        let findings = find(&wrong, &labels, &properties(&categories, &numbers), rng)?;
        first += usize::from(findings[0].property == 11 && findings[0].is_confirmed());
    }
    assert!(first >= 9, "{first} of 10");
    Ok(())
}

#[test]
fn planted_wrong_labels_have_an_average_precision_of_at_least_80_in_a_hundred() -> TestResult {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    let (count, classes) = (3000, 5);
    let (mut probabilities, mut labels, mut is_wrong) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        // A model that is right in some 90 of a hundred.
        let truth = rng.random_range(0..classes);
        let logits: Vec<f32> =
            (0..classes).map(|c| 1.5 * rng.random::<f32>() * 2.0 + if c == truth { 3.0 } else { 0.0 }).collect();
        let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
        probabilities.extend(logits.iter().map(|logit| logit.exp() / sum));
        let flipped = rng.random::<f64>() < 0.05;
        labels.push(if flipped { (truth + rng.random_range(1..classes)) % classes } else { truth } as u32);
        is_wrong.push(flipped);
    }
    let issues = label_issues(&probabilities, &labels, classes)?;
    let (mut hits, mut sum) = (0.0, 0.0);
    for (rank, issue) in (1..).zip(&issues) {
        if is_wrong[issue.row as usize] {
            hits += 1.0;
            sum += hits / f64::from(rank);
        }
    }
    let precision = sum / is_wrong.iter().filter(|wrong| **wrong).count() as f64;
    assert!(precision >= 0.8, "{precision}");
    assert!(issues.windows(2).all(|pair| pair[0].margin <= pair[1].margin));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let errors = Errors { wrong: &[true, false], labels: &[0, 0], rows: &[0, 1] };
    assert!(errors.association(&Property::Number(&[0.0]), rng).is_err());
    assert!(errors.association(&Property::Number(&[0.0, f64::NAN]), rng).is_err());
    assert!(Errors { rows: &[2], ..errors }.association(&Property::Category(&[0, 1]), rng).is_err());
    let nothing = errors.association(&Property::Category(&[1, 1]), rng).map(|found| (found.p, found.effect));
    assert_eq!(nothing.ok(), Some((1.0, 0.0)));
    assert!(label_issues(&[0.5; 3], &[0, 1], 2).is_err() && label_issues(&[0.5; 2], &[2], 2).is_err());
    assert!(label_issues(&[f32::NAN; 2], &[1], 2).is_err());
}
