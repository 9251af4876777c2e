//! Datasets that a program holds.

use std::path::Path;

use candle_core::{Device, Tensor};
use cnc_data::image::Picture;
use cnc_data::image::transform::{RandomView, Transform};
use cnc_data::{Augment, DataError, Dataset, Inputs, Preparation, Split, TextInputs, TextPreparation};

use super::common::comments::{ids, tokenizer};

fn grey(value: u8, side: u32) -> Picture {
    Picture { width: side, height: side, pixels: vec![value; (3 * side * side) as usize] }
}

fn images(transform: &Transform) -> Result<Split, DataError> {
    Split::from_images((0..6).map(|row| grey(40 * row, 8)).collect(), vec![0, 1, 0, 1, 0, 1], transform)
}

fn dataset(splits: [Split; 3]) -> Result<Dataset, DataError> {
    Dataset::from_splits("mine", &["even", "odd"], &["land", "water"], splits)
}

fn values(split: &Split, augment: Augment) -> Vec<f32> {
    let Inputs::Images(images) = split.batch(&[5, 0], augment).unwrap().inputs else { panic!("these are images") };
    images.flatten_all().unwrap().to_vec1().unwrap()
}

fn refusal<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn images_in_memory_are_transformed_grouped_and_shown_like_those_of_files() {
    let transform = Transform { crop: Some(4), random: RandomView::Crop, ..Transform::default() };
    let split = || images(&transform).unwrap().with_attributes(vec![0, 0, 1, 1, 0, 1]).unwrap();
    let mine = dataset([split(), split(), split()]).unwrap();
    assert_eq!((mine.train.len(), mine.train.shape(), mine.train.augments()), (6, Some((3, 4, 4)), true));
    let seen = values(&mine.train, Augment::None);
    assert!((seen[0] - (200.0 / 127.5 - 1.0)).abs() < 1e-6 && seen[48] == -1.0, "{seen:?}");
    let groups: Vec<(&str, &[u32])> =
        mine.test.groups().iter().map(|group| (group.name.as_str(), group.rows.as_slice())).collect();
    let expected: [(&str, &[u32]); 4] =
        [("even / land", &[0, 4]), ("even / water", &[2]), ("odd / land", &[1]), ("odd / water", &[3, 5])];
    assert_eq!(groups, expected);
    assert_eq!(mine.validation.picture(1).unwrap(), grey(40, 4));
    assert!(matches!(&mine.preparation, Preparation::Image(image) if (image.height, image.crop) == (8, Some(4))));
}

#[test]
fn tensors_come_back_as_they_are() {
    let split = || {
        let values = Tensor::arange(0f32, 6.0 * 12.0, &Device::Cpu).unwrap().reshape((6, 3, 2, 2)).unwrap();
        Split::from_tensors(&values, vec![0, 1, 0, 1, 0, 1]).unwrap()
    };
    let mine = Dataset::from_splits("mine", &["even", "odd"], &[], [split(), split(), split()]).unwrap();
    let seen = values(&mine.train, Augment::Random { seed: 1 });
    assert_eq!((seen[0], seen[12]), (60.0, 0.0));
    assert_eq!(mine.test.groups()[1].rows, [1, 3, 5]);
    let picture = mine.test.picture(2).unwrap();
    assert_eq!((picture.pixels[0], picture.pixels[11]), (0, 255));
    assert!(mine.test.picture(6).is_err() && mine.test.batch(&[6], Augment::None).is_err());
}

#[test]
fn texts_in_memory_are_tokenised_and_kept() {
    let preparation = TextPreparation { column: "text".to_string(), max_length: 5 };
    let inputs = TextInputs::open(&tokenizer("vocab.txt"), &preparation).unwrap();
    let split = || Split::from_texts(["a", "a b c d e f", ""], vec![0, 1, 0], &inputs).unwrap();
    let mine = Dataset::from_splits("mine", &["no", "yes"], &[], [split(), split(), split()]).unwrap();
    assert_eq!((0..3).map(|row| ids(&mine.train, row).len()).collect::<Vec<_>>(), [3, 5, 2]);
    assert_eq!(mine.train.text(1), Some("a b c d e f"));
    assert_eq!(mine.preparation, Preparation::Text(preparation));
    assert!(TextInputs::open(Path::new("nowhere"), inputs.preparation()).is_err());
}

#[test]
fn what_makes_no_dataset_is_named() {
    let plain = Transform::default();
    let split = || images(&plain).unwrap();
    let told = || split().with_attributes(vec![0; 6]).unwrap();
    let small = || Split::from_images(vec![grey(1, 4), grey(2, 4)], vec![0, 1], &plain).unwrap();
    let other_label = Split::from_images(vec![grey(1, 8)], vec![2], &plain).unwrap().with_attributes(vec![0]).unwrap();
    let one_class = Split::from_images(vec![grey(1, 8)], vec![0], &plain).unwrap().with_attributes(vec![0]).unwrap();
    let empty = Tensor::zeros((0, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let empty = Split::from_tensors(&empty, Vec::new()).unwrap().with_attributes(Vec::new()).unwrap();
    let cases = [
        (refusal(Split::from_images(vec![grey(1, 8)], vec![0, 1], &plain)), "2 labels for 1 rows"),
        (refusal(Split::from_images(vec![grey(1, 8), grey(1, 9)], vec![0, 1], &plain)), "image 1: the image is 9 x 9"),
        (refusal(Split::from_images(Vec::new(), Vec::new(), &plain)), "no images"),
        (refusal(split().with_attributes(vec![0])), "1 attributes for 6 rows"),
        (refusal(dataset([split(), told(), told()])), "split `train` has 0 attributes of 2 names"),
        (refusal(dataset([told(), other_label, told()])), "split `validation` has the label 2 in row 0"),
        (refusal(dataset([one_class, told(), told()])), "no row of class \"odd\""),
        (refusal(dataset([told(), told(), small().with_attributes(vec![0, 1]).unwrap()])), "split `test` holds other"),
        (refusal(dataset([told(), empty, told()])), "split `validation` has no rows"),
        (refusal(Dataset::from_splits("mine", &["one"], &[], [split(), split(), split()])), "two classes"),
        (refusal(Dataset::from_splits("mine", &["a", "a"], &[], [split(), split(), split()])), "\"a\" stands twice"),
        (refusal(images(&Transform { crop: Some(9), ..plain.clone() })), "crop: 9 is larger than the images"),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{words}: {message}");
    }
}
