//! A user's own dataset: a manifest and its files in any folder.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int64Array, LargeStringArray, StringArray,
    UInt16Array,
};
use candle_core::Tensor;
use cnc_data::{Augment, DataError, Inputs};

use crate::common::{Folder, images, labels, png, rows, with};

fn pixels(inputs: &Inputs) -> &Tensor {
    match inputs {
        Inputs::Images(images) => images,
        Inputs::Tokens { .. } => panic!("these are images"),
    }
}

#[test]
fn a_manifest_outside_the_project_opens_with_its_groups_in_order() {
    let dataset = Folder::new().open().unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (30, 10, 20));
    assert_eq!(dataset.classes, ["even", "odd"]);
    assert_eq!(dataset.attributes, ["land", "water"]);
    let names: Vec<&str> = dataset.test.groups().iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["even / land", "even / water", "odd / land", "odd / water"]);
    assert_eq!(dataset.test.groups()[0].rows, [0, 4, 8, 12, 16]);
    assert_eq!(dataset.test.groups()[3].rows, [3, 7, 11, 15, 19]);
    assert_eq!(dataset.test.counterfactuals(), None);
}

#[test]
fn validation_and_training_share_no_image_and_lose_none() {
    let dataset = Folder::new().open().unwrap();
    let grey = |split: &cnc_data::Split| -> Vec<u8> {
        (0..split.len() as u32).map(|row| split.picture(row).unwrap().pixels[0]).collect()
    };
    let (train, validation) = (grey(&dataset.train), grey(&dataset.validation));
    assert!(train.is_sorted() && validation.is_sorted(), "the order of the file is kept");
    let mut all = [train, validation].concat();
    all.sort_unstable();
    assert_eq!(all, (10..50).collect::<Vec<u8>>());
}

#[test]
fn a_manifest_without_a_seed_leaves_the_split_to_whoever_opens_it() {
    let folder = Folder::new();
    let manifest =
        |folder: &Folder| cnc_data::Manifest::open(&folder.path("dataset.toml").display().to_string()).unwrap();
    let labels = |folder: &Folder, seed| {
        let options = cnc_data::OpenOptions { seed, ..cnc_data::OpenOptions::default() };
        let dataset = cnc_data::Dataset::open(&manifest(folder), &options).unwrap();
        (0..10).map(|row| dataset.validation.picture(row).unwrap().pixels[0]).collect::<Vec<u8>>()
    };
    assert_eq!(labels(&folder, 1), labels(&folder, 2));
    folder.edit("seed = 3\n", "");
    assert_eq!(labels(&folder, 1), labels(&folder, 1));
    assert_ne!(labels(&folder, 1), labels(&folder, 2));
}

#[test]
fn another_seed_in_the_manifest_is_another_split() {
    let folder = Folder::new();
    let first = folder.open().unwrap();
    let again = folder.open().unwrap();
    let other = folder.edit("seed = 3", "seed = 4").open().unwrap();
    let picture = |dataset: &cnc_data::Dataset| -> Vec<u8> {
        (0..10).map(|row| dataset.validation.picture(row).unwrap().pixels[0]).collect()
    };
    assert_eq!(picture(&first), picture(&again));
    assert_ne!(picture(&first), picture(&other));
}

#[test]
fn a_group_without_rows_stays_listed() {
    let folder = Folder::new();
    // Odd numbers are never on water in the test split.
    folder.table(
        "test.parquet",
        &with(rows(20), "place", labels((0..20).map(|i| Some(if i % 2 == 1 { 0 } else { i / 2 % 2 })))),
    );
    let dataset = folder.open().unwrap();
    let group = &dataset.test.groups()[3];
    assert_eq!((group.name.as_str(), group.rows.len()), ("odd / water", 0));
}

#[test]
fn without_an_attribute_the_groups_are_the_classes() {
    let folder = Folder::new();
    folder.edit("[attribute]\ncolumn = \"place\"\nnames = [\"land\", \"water\"]\n", "");
    let dataset = folder.open().unwrap();
    let names: Vec<&str> = dataset.test.groups().iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["even", "odd"]);
    assert!(dataset.attributes.is_empty() && dataset.test.attributes().is_empty());
}

#[test]
fn labels_with_gaps_are_classes_once_the_manifest_maps_them() {
    let folder = Folder::new();
    for (name, count) in [("train.parquet", 40_u8), ("test.parquet", 20)] {
        folder.table(name, &with(rows(count), "label", labels((0..count).map(|i| Some(i64::from(i % 4) * 3)))));
    }
    folder.edit("names = [\"even\", \"odd\"]", "names = [\"low\", \"high\"]\nvalues = [[0, 3], [6, 9]]");
    let dataset = folder.open().unwrap();
    assert_eq!(dataset.test.labels()[..8], [0, 0, 1, 1, 0, 0, 1, 1]);
}

#[test]
fn a_column_means_the_same_however_it_was_written() {
    let folder = Folder::new();
    let expected = folder.open().unwrap().train.labels().to_vec();
    let number = |i: usize| (i % 2) as i64;
    let text = |i: usize| ["even", "odd"][i % 2];
    let forms: [ArrayRef; 8] = [
        Arc::new(Int8Array::from_iter_values((0..40).map(|i| number(i) as i8))),
        Arc::new(UInt16Array::from_iter_values((0..40).map(|i| number(i) as u16))),
        Arc::new(Float64Array::from_iter_values((0..40).map(|i| number(i) as f64))),
        Arc::new(BooleanArray::from_iter((0..40).map(|i| Some(i % 2 == 1)))),
        Arc::new(StringArray::from_iter_values((0..40).map(text))),
        Arc::new(LargeStringArray::from_iter_values((0..40).map(text))),
        Arc::new((0..40).map(text).collect::<DictionaryArray<Int32Type>>()),
        Arc::new(DictionaryArray::<Int32Type>::new(
            (0..40).map(|i| i % 2).collect(),
            Arc::new(Int64Array::from(vec![0, 1])),
        )),
    ];
    for form in forms {
        let what = form.data_type().clone();
        folder.table("train.parquet", &with(rows(40), "label", form));
        assert_eq!(folder.open().unwrap().train.labels(), expected, "{what}");
    }
}

#[test]
fn splits_by_a_column_keep_every_row() {
    let folder = Folder::new();
    let part: ArrayRef =
        Arc::new((0..40).map(|i| ["fit", "choose", "report", "fit"][i % 4]).collect::<DictionaryArray<Int32Type>>());
    let mut columns = rows(40);
    columns.push(("part", part));
    folder.table("all.parquet", &columns);
    folder.edit(
        "train = { files = [\"train.parquet\"] }",
        "column = \"part\"\nfiles = [\"all.parquet\"]\ntrain = { values = [\"fit\"] }",
    );
    folder.edit("validation = { of = \"train\", fraction = 0.25 }", "validation = { values = [\"choose\"] }");
    folder.edit("test = { files = [\"test.parquet\"] }", "test = { values = [\"report\"] }");
    let dataset = folder.open().unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (20, 10, 10));
    assert_eq!(dataset.validation.picture(1).unwrap().pixels[0], 15);
}

#[test]
fn a_limit_takes_the_first_rows_of_each_split_and_changes_nothing_about_them() {
    let folder = Folder::new();
    let (all, some) = (folder.open().unwrap(), folder.open_limited(Some(7)).unwrap());
    for (all, some) in [(all.train, some.train), (all.validation, some.validation), (all.test, some.test)] {
        assert_eq!(some.len(), 7);
        assert_eq!(some.labels(), &all.labels()[..7]);
        assert_eq!(some.picture(6).unwrap(), all.picture(6).unwrap());
    }
    assert!(folder.open_limited(Some(0)).unwrap_err().to_string().contains("at least 1"));
}

#[test]
fn an_image_of_the_hub_keeps_its_orientation_and_its_range() {
    let folder = Folder::new();
    // 40 wide, 20 high, the left half red.
    let picture = || Some(png(40, 20, |x, _| if x < 20 { [255, 0, 0] } else { [0, 0, 0] }));
    for (name, count) in [("train.parquet", 40), ("test.parquet", 20)] {
        folder.table(name, &with(rows(count), "image", images((0..count).map(|_| picture()))));
    }
    folder.edit("[splits]", "[transform]\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n\n[splits]");
    let dataset = folder.open().unwrap();
    let batch = dataset.test.batch(&[3], Augment::None).unwrap();
    let images = pixels(&batch.inputs);
    assert_eq!(images.dims(), [1, 3, 20, 40]);
    let values = images.squeeze(0).unwrap().to_vec3::<f32>().unwrap();
    for line in &values[0] {
        assert!(line[..20].iter().all(|v| (v - 1.0).abs() < 1e-6) && line[20..].iter().all(|v| *v == 0.0), "{line:?}");
    }
    assert!(values[1].iter().chain(&values[2]).flatten().all(|v| *v == 0.0));
}

#[test]
fn a_random_crop_is_a_piece_of_the_image_that_its_seed_and_place_decide() {
    let folder = Folder::new();
    let gradient = || Some(png(8, 8, |x, y| [(x * 8 + y) as u8, 0, 255]));
    for (name, count) in [("train.parquet", 40), ("test.parquet", 20)] {
        folder.table(name, &with(rows(count), "image", images((0..count).map(|_| gradient()))));
    }
    folder.edit("[splits]", "[transform]\ncrop = 5\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n\n[splits]");
    let split = folder.open().unwrap().train;
    let values = |seed| {
        let batch = split.batch(&[0; 30], Augment::Random { seed }).unwrap();
        pixels(&batch.inputs).flatten_from(1).unwrap().to_vec2::<f32>().unwrap()
    };
    let crops = values(1);
    assert_eq!(crops, values(1));
    assert_ne!(crops, values(2));
    let mut corners = std::collections::BTreeSet::new();
    for crop in &crops {
        let corner = (crop[0] * 255.0).round() as usize;
        let (left, top) = (corner / 8, corner % 8);
        assert!(left <= 3 && top <= 3);
        corners.insert(corner);
        for y in 0..5 {
            for x in 0..5 {
                let expected = ((left + x) * 8 + top + y) as f32;
                assert!((crop[y * 5 + x] * 255.0 - expected).abs() < 1e-3);
            }
        }
    }
    assert!(corners.len() > 8, "30 draws of 16 places hit more than half of them: {corners:?}");
    // A prefix of a batch is cropped like the batch.
    let batch = split.batch(&[0; 4], Augment::Random { seed: 1 }).unwrap();
    assert_eq!(pixels(&batch.inputs).flatten_from(1).unwrap().to_vec2::<f32>().unwrap(), crops[..4]);
}

#[test]
fn the_centre_crop_is_what_a_picture_shows() {
    let folder = Folder::new();
    folder.edit("[splits]", "[transform]\nresize = 10\ncrop = 4\n\n[splits]");
    let split = folder.open().unwrap().test;
    let picture = split.picture(9).unwrap();
    assert_eq!((picture.width, picture.height, split.shape()), (4, 4, Some((3, 4, 4))));
    let batch = split.batch(&[9], Augment::None).unwrap();
    let values = pixels(&batch.inputs).squeeze(0).unwrap().permute((1, 2, 0)).unwrap().flatten_all().unwrap();
    for (value, byte) in values.to_vec1::<f32>().unwrap().iter().zip(&picture.pixels) {
        assert!((value - (f32::from(*byte) / 127.5 - 1.0)).abs() < 1e-6);
    }
}

#[test]
fn a_batch_of_unknown_rows_or_of_none_is_refused() {
    let split = Folder::new().open().unwrap().test;
    for rows in [&[0, 20][..], &[]] {
        let error = split.batch(rows, Augment::None).unwrap_err();
        assert!(matches!(error, DataError::Batch { len: 20, .. }), "{error}");
    }
    assert!(split.picture(20).unwrap_err().to_string().contains("row 20"));
}
