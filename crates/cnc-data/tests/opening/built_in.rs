//! The datasets that the program knows by name.

use cnc_data::{Augment, Dataset, HubCache, Inputs, Manifest, OpenOptions, Remedy, builtin};

fn digits(limit: Option<usize>) -> Dataset {
    let options = OpenOptions { limit, hub: HubCache::new("no/such/cache"), ..OpenOptions::default() };
    Dataset::open(&Manifest::open("digits").unwrap(), &options).unwrap()
}

#[test]
fn digits_open_without_any_file_and_show_every_held_out_digit_in_all_colours() {
    let digits = digits(None);
    assert_eq!((digits.train.len(), digits.validation.len(), digits.test.len()), (5_400, 600 * 5, 2_000 * 5));
    assert_eq!(digits.train.counterfactuals(), None);
    for split in [&digits.validation, &digits.test] {
        assert_eq!(split.counterfactuals(), Some(5));
        assert_eq!(split.groups().len(), 25);
        for (image, five) in split.labels().chunks(5).enumerate() {
            assert!(five.iter().all(|label| *label == five[0]));
            assert_eq!(split.attributes()[image * 5..image * 5 + 5], [0, 1, 2, 3, 4]);
        }
        let total: usize = split.groups().iter().map(|group| group.rows.len()).sum();
        assert_eq!(total, split.len());
    }
    // The draw is balanced: 400 test images a class, each in five colours.
    assert!(digits.test.groups().iter().all(|group| group.rows.len() == 400));
}

#[test]
fn a_validation_split_that_is_coloured_as_training_is_has_its_own_draws_and_the_same_share() {
    let text = builtin::manifest("digits").unwrap().replace("validation = \"every\"", "validation = \"as-training\"");
    let folder = tempfile::tempdir().unwrap();
    for file in ["train.parquet", "test.parquet"] {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/digits").join(file);
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    let biased = Dataset::open(&Manifest::parse(&text, folder.path()).unwrap(), &OpenOptions::default()).unwrap();
    let validation = &biased.validation;
    let minority = validation.labels().iter().zip(validation.attributes()).filter(|(label, colour)| label != colour);
    // Binomial(600, 0.02) has mean 12 and standard deviation 3.4.
    assert!((3..=25).contains(&minority.count()));
    assert_eq!((validation.len(), validation.counterfactuals()), (600, None));
    assert_eq!(digits(None).train.attributes(), biased.train.attributes());
}

#[test]
fn in_training_the_colour_gives_the_class_away_but_for_about_one_image_in_fifty() {
    let train = digits(None).train;
    let minority = train.labels().iter().zip(train.attributes()).filter(|(label, colour)| label != colour).count();
    // Binomial(5,400, 0.02) has mean 108 and standard deviation 10.
    assert!((70..150).contains(&minority), "{minority}");
    assert_eq!(train.groups().iter().map(|group| group.rows.len()).sum::<usize>(), 5_400);
}

#[test]
fn counterfactuals_differ_in_colour_only() {
    let test = digits(Some(10)).test;
    let pictures: Vec<_> = (0..5).map(|row| test.picture(row).unwrap()).collect();
    assert!(pictures.windows(2).all(|pair| pair[0] != pair[1]));
    for at in 0..32 * 32 {
        // A black pixel is black in all colours.
        let black = |picture: &cnc_data::image::Picture| picture.pixels[at * 3..at * 3 + 3] == [0, 0, 0];
        assert!(pictures.iter().all(black) || !pictures.iter().any(black));
    }
    // Fully lit pixels have matplotlib's colours.
    let hsv = [[255, 0, 0], [208, 255, 0], [0, 255, 92], [0, 116, 255], [184, 0, 255]];
    for (picture, rgb) in pictures.iter().zip(hsv) {
        assert!(picture.pixels.chunks(3).any(|pixel| pixel == rgb), "{rgb:?}");
    }
}

#[test]
fn a_limit_keeps_whole_sets_of_counterfactuals() {
    let limited = digits(Some(7));
    assert_eq!((limited.train.len(), limited.validation.len(), limited.test.len()), (7, 10, 10));
}

#[test]
fn digits_come_out_as_batches_between_minus_one_and_one() {
    let train = digits(Some(20)).train;
    let rows: Vec<u32> = (0..20).collect();
    let batch = train.batch(&rows, Augment::Random { seed: 0 }).unwrap();
    let Inputs::Images(images) = batch.inputs else { panic!("digits are images") };
    assert_eq!(images.dims(), [20, 3, 32, 32]);
    let values = images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(values.iter().all(|value| (-1.000_001..=1.000_001).contains(value)));
    assert!(values.contains(&-1.0) && values.iter().any(|value| *value > 0.999));
    assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), train.labels());
    assert_eq!(batch.indices, rows);
}

#[test]
fn every_built_in_manifest_passes_its_checks_and_has_a_recipe() {
    for name in builtin::names() {
        let manifest = Manifest::open(name).unwrap();
        assert_eq!(manifest.name(), name);
        let recipe = manifest.recipe().unwrap().unwrap();
        assert_eq!(recipe.text, builtin::recipe(name).unwrap());
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_and_all_that_exist() {
    let message = Manifest::open("cmnits").unwrap_err().to_string();
    assert!(message.contains("`cmnits`") && message.contains("did you mean `cmnist`?"), "{message}");
    assert!(message.contains("digits, cmnist"), "{message}");
}

#[test]
fn a_path_that_leads_nowhere_is_named() {
    let message = Manifest::open("no/such/dataset.toml").unwrap_err().to_string();
    assert!(message.starts_with("no/such/dataset.toml: "), "{message}");
}

#[test]
fn data_that_are_not_on_this_machine_are_answered_with_what_brings_them() {
    let options = OpenOptions { hub: HubCache::new("no/such/cache"), ..OpenOptions::default() };
    let error = Dataset::open(&Manifest::open("cmnist").unwrap(), &options).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("mnist/train-00000-of-00001.parquet of ylecun/mnist"), "{message}");
    assert_eq!(error.remedy(), Some(Remedy::Fetch { dataset: "cmnist".to_string(), again: false }));
}
