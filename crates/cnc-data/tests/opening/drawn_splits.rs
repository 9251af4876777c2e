//! Splits that the program draws: within each class, and with the rows of one patient in one split.

use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};

use crate::common::{Folder, images, labels, png};

/// 40 rows of which only these are of the second class, and so many rows of one patient after the other.
fn folder(rare: &[usize], patients: usize) -> Folder {
    let folder = Folder::new();
    let pictures = (0..40).map(|i| Some(png(8, 8, |_, _| [10 + i; 3])));
    let column = |value: &dyn Fn(usize) -> i64| labels((0..40).map(|i| Some(value(i))));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("image", images(pictures)),
        ("label", column(&|i| i64::from(rare.contains(&i)))),
        ("place", column(&|i| (i / 2 % 2) as i64)),
    ];
    columns.push(("patient", column(&|i| (i / patients) as i64)));
    folder.table("train.parquet", &columns);
    let patient: ArrayRef = Arc::new(Int64Array::from_iter_values(100..120));
    let mut test = crate::common::rows(20);
    test.push(("patient", patient));
    folder.table("test.parquet", &test);
    folder
}

fn seeded(folder: &Folder, seed: usize) {
    let text = fs::read_to_string(folder.path("dataset.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("seed = ")).unwrap().to_string();
    folder.edit(&line, &format!("seed = {seed}"));
}

#[test]
fn a_class_of_three_is_in_validation_whatever_the_seed() {
    let folder = folder(&[3, 17, 30], 1);
    folder.edit("fraction = 0.25", "fraction = 0.1");
    for seed in 0..10 {
        seeded(&folder, seed);
        let dataset = folder.open().unwrap();
        let rare = |labels: &[u32]| labels.iter().filter(|label| **label == 1).count();
        assert_eq!((rare(dataset.validation.labels()), rare(dataset.train.labels())), (1, 2), "seed {seed}");
        assert_eq!(dataset.validation.len(), 5);
        assert!(dataset.notes.iter().any(|note| note.contains("validation drawn at random within each class")));
    }
}

#[test]
fn a_class_of_one_is_trained_on() {
    let folder = folder(&[3], 1);
    for seed in 0..10 {
        seeded(&folder, seed);
        assert_eq!(folder.open().unwrap().train.labels().iter().filter(|label| **label == 1).count(), 1);
    }
}

#[test]
fn rows_of_one_patient_are_in_one_split() {
    let folder = folder(&(0..20).collect::<Vec<_>>(), 5);
    folder.edit("[splits]", "[splits]\nkeep_together = \"patient\"");
    for seed in 0..10 {
        seeded(&folder, seed);
        let dataset = folder.open().unwrap();
        // Eight patients of five rows each: a quarter is two, one of each class.
        let mut sizes = [0; 2];
        dataset.validation.labels().iter().for_each(|label| sizes[*label as usize] += 1);
        assert_eq!(sizes, [5, 5], "seed {seed}");
        assert!(!dataset.notes.iter().any(|note| note.contains("several splits")));
    }
}

#[test]
fn patients_that_files_put_on_both_sides_are_counted_and_named() {
    let folder = folder(&[1, 3], 1);
    let mut test = crate::common::rows(20);
    test.push(("patient", labels((0..20).map(|i| Some(38 + i)))));
    folder.table("test.parquet", &test);
    folder.edit("[splits]", "[splits]\nkeep_together = \"patient\"");
    let notes = folder.open().unwrap().notes;
    let note = notes.iter().find(|note| note.contains("several splits")).unwrap();
    assert!(note.contains("2 of 58 values of `patient`") && note.contains("38 in"), "{note}");
    let refusal = folder.edit("keep_together", "stratify = false\nkeep_together").refusal();
    assert!(refusal.contains("splits.stratify") && refusal.contains("keep_together"), "{refusal}");
}
