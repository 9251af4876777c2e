//! `cnc-train init`: from data without a manifest to predictions in three commands.

use std::fmt::Write as _;
use std::fs;

use cnc_tests::Workbench;

/// A PNG of 8 x 8 pixels: dark for the first class, bright for the second.
fn picture(class: usize, i: usize) -> Vec<u8> {
    let shade = |x: u32, y: u32| (100 * class as u32 + (7 * i as u32 + x * y) % 50) as u8;
    let image = image::GrayImage::from_fn(8, 8, |x, y| image::Luma([shade(x, y)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("an image is encoded");
    bytes.into_inner()
}

const SHORT: [&str; 6] = ["--set", "stage1.epochs=1", "--set", "steps=2", "--set", "evaluate_every=1"];

#[test]
fn a_folder_of_images_for_each_class_is_trained_and_asked_without_a_file_edited_by_hand() {
    let bench = Workbench::new();
    for (class, name) in ["dark", "bright"].iter().enumerate() {
        fs::create_dir_all(bench.file(&format!("photos/{name}"))).unwrap();
        for i in 0..30 {
            fs::write(bench.file(&format!("photos/{name}/{i}.png")), picture(class, i)).unwrap();
        }
    }
    // Data by themselves name the way.
    bench.run(&["photos"]).fails(2, &["photos has no dataset.toml", "cnc-train init photos"]);

    let dry = bench.run(&["init", "photos", "--dry-run"]).success().stdout;
    assert!(dry.contains("bright (30), dark (30)") && dry.contains("--- photos/dataset.toml ---"), "{dry}");
    assert!(!bench.file("photos/dataset.toml").exists());
    let written = bench.run(&["init", "photos"]).success().stdout;
    assert!(written.contains("written: photos/samples.csv") && written.contains("cnc-train photos"), "{written}");
    let before = bench.read("photos/dataset.toml");
    bench.run(&["init", "photos"]).fails(2, &["photos/dataset.toml is there already", "--dry-run"]);
    assert_eq!(bench.read("photos/dataset.toml"), before);

    let arguments = [&["photos", "--out", "run", "--set", "slices=prediction"][..], &SHORT].concat();
    bench.run(&arguments).success();
    let answer = bench.run(&["predict", "run", "photos/dark/0.png"]).success().stdout;
    assert!(answer.contains("\"class\""), "{answer}");
}

#[test]
fn folders_of_splits_are_splits() {
    let bench = Workbench::new();
    for (split, rows) in [("train", 10), ("test", 4)] {
        for class in ["a", "b"] {
            fs::create_dir_all(bench.file(&format!("p/{split}/{class}"))).unwrap();
            for i in 0..rows {
                fs::write(bench.file(&format!("p/{split}/{class}/{i}.png")), picture(i % 2, i)).unwrap();
            }
        }
    }
    let told = bench.run(&["init", "p"]).success().stdout;
    assert!(told.contains("train 20, validation drawn, test 8"), "{told}");
    let counts = bench.run(&["check", "p"]).success().stdout;
    assert!(counts.contains("all                              16          4          8"), "{counts}");
}

#[test]
fn a_table_beside_its_images_with_numbers_for_classes_and_an_attribute() {
    let bench = Workbench::new();
    fs::create_dir_all(bench.file("d/pics")).unwrap();
    let mut table = "name,label,place,split,patient_id\n".to_owned();
    for i in 0..40 {
        fs::write(bench.file(&format!("d/pics/{i}.png")), picture(i % 2, i)).unwrap();
        writeln!(
            table,
            "{i}.png,{},{},{},p{}",
            1 + i % 2,
            ["land", "sea"][i / 2 % 2],
            ["train", "val", "test"][i / 4 % 3],
            i / 4
        )
        .unwrap();
    }
    fs::write(bench.file("d/meta.csv"), &table).unwrap();
    let told = bench.run(&["init", "d"]).success().stdout;
    assert!(
        told.contains("40 image files in pics/") && told.contains("could be: --attribute place (2 values)"),
        "{told}"
    );
    fs::remove_file(bench.file("d/dataset.toml")).unwrap();
    fs::remove_file(bench.file("d/recipe.toml")).unwrap();
    bench.run(&["init", "d", "--attribute", "place"]).success();
    let counts = bench.run(&["check", "d"]).success().stdout;
    assert!(told.contains("rows of one `patient_id` may be in training and in test"), "{told}");
    bench
        .run(&["init", "d", "--keep-together", "patient"])
        .fails(2, &["--keep-together patient: there is no such column"]);
    for line in ["1 / land", "1 / sea", "2 / land", "2 / sea"] {
        assert!(counts.contains(line), "{line}: {counts}");
    }
}

#[test]
fn what_cannot_be_told_is_asked_for_with_the_columns_that_there_are() {
    let bench = Workbench::new();
    let mut texts = "comment,stars,shop\n".to_owned();
    for i in 0..12 {
        writeln!(texts, "a comment of some length number {i},{},{}", i % 3, i % 2).unwrap();
    }
    fs::write(bench.file("r.csv"), &texts).unwrap();
    let stopped = bench.run(&["init", "r.csv"]);
    stopped.fails(2, &["which column is the class?", "stars", "0 (4), 1 (4), 2 (4)", "--class COLUMN"]);
    let told = bench.run(&["init", "r.csv", "--class", "stars", "--name", "shop"]).success().stdout;
    assert!(told.contains("bert") && told.contains("could be: --attribute shop (2 values)"), "{told}");
    assert!(String::from_utf8(bench.read("dataset.toml")).unwrap().contains("name = \"shop\""));

    bench.run(&["init", "r.csv", "--class", "rating"]).fails(2, &["--class rating: there is no such column", "stars"]);
    fs::create_dir(bench.file("nothing")).unwrap();
    bench.run(&["init", "nothing"]).fails(1, &["nothing: has neither a table", "a folder of images for each class"]);
    bench.run(&["init", "nowhere"]).fails(1, &["nowhere"]);
}
