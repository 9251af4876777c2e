//! Drawn pictures in the place of Waterbirds and CelebA, from `cargo xtask synth` to a trained model.

use std::fs;

use cnc_tests::{Outcome, Workbench};

/// The counts that `check` prints.
fn counts(outcome: &Outcome) -> Vec<&str> {
    outcome.stdout.lines().filter(|line| line.ends_with(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn both_layouts_of_both_datasets_have_the_same_rows() {
    let bench = Workbench::new();
    for name in ["waterbirds", "celeba"] {
        bench.xtask(&["synth", name, "--out", name, "--size", "60", "--seed", "3"]).success();
        let archive = bench.run(&["check", name, "--data", name, "--allow-count-mismatch"]).success();
        bench.xtask(&["fetch", name, "--from", name]).success();
        let hub = bench.run(&["check", name, "--allow-count-mismatch"]).success();
        assert_eq!(counts(&archive), counts(&hub), "{name}");
        assert!(counts(&hub)[0].contains(" 60"), "{}", hub.stdout);
        // Without the flag, both tables.
        bench.run(&["check", name, "--data", name]).fails(1, &["expected", "found", "--allow-count-mismatch"]);
        // The manifest beside the pictures knows their numbers.
        bench.run(&["check", &format!("{name}/dataset.toml")]).success();
    }
}

#[test]
fn a_model_is_the_same_to_the_bit_whichever_layout_it_was_trained_from() {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "80", "--side", "32"]).success();
    let manifest = fs::read_to_string(bench.file("birds/dataset.toml")).unwrap();
    // The same dataset out of the hub's files.
    let mut table: toml::Table = manifest.parse().unwrap();
    table.insert("input".into(), toml::toml! { column = "image" }.into());
    for (section, column) in [("class", "label"), ("attribute", "place")] {
        table[section].as_table_mut().unwrap().insert("column".into(), column.into());
    }
    let file =
        |split: &str| toml::Table::from_iter([("files".to_string(), vec![format!("data/{split}-*.parquet")].into())]);
    let splits = ["train", "validation", "test"].map(|split| (split.to_string(), file(split).into()));
    table.insert("splits".into(), toml::Table::from_iter(splits).into());
    fs::write(bench.file("birds/datasets/grodino/waterbirds/dataset.toml"), table.to_string()).unwrap();
    let train = |dataset: &str, layout: &str, model: &str| {
        let out = format!("{layout}-{model}");
        let small = ["--method", "erm", "--model", model, "--set", "epochs=2", "--set", "batch_size=16"];
        bench.run(&[&[dataset, "--out", &out], &small[..]].concat()).success();
        bench.read(&format!("{out}/model.safetensors"))
    };
    for model in ["lenet", "resnet18"] {
        let archive = train("birds/dataset.toml", "archive", model);
        let hub = train("birds/datasets/grodino/waterbirds/dataset.toml", "hub", model);
        assert!(archive == hub, "{model}: other weights");
    }
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() {
    let bench = Workbench::new();
    fs::create_dir(bench.file("out")).unwrap();
    fs::write(bench.file("out/mine.txt"), "mine").unwrap();
    bench.xtask(&["synth", "celeba", "--out", "out"]).fails(1, &["out", "not empty"]);
    bench.xtask(&["synth", "celeba", "--out", "new", "--size", "3"]).fails(1, &["--size 3", "4 groups"]);
}

#[test]
fn skipped_rows_are_counted_in_the_results_and_an_unreadable_image_stops_the_run_before_it_begins() {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "40", "--side", "32"]).success();
    let picture = fs::read_dir(bench.file("birds/001.Landbird")).unwrap().next().unwrap().unwrap().path();
    fs::write(&picture, "").unwrap();
    let name = picture.file_name().unwrap().to_str().unwrap();
    let run = ["birds/dataset.toml", "--method", "erm", "--model", "lenet", "--set", "epochs=1", "--out", "run"];
    bench.run(&run).fails(1, &["metadata.csv", "line ", name, "is empty"]);
    assert!(!bench.file("run").exists());
    let outcome = bench.run(&[&run[..], &["--skip-unreadable"]].concat()).success();
    assert!(outcome.stderr.contains("1 rows were left out") && outcome.stderr.contains(name), "{}", outcome.stderr);
    assert_eq!(bench.json("run/results.json")["skipped_rows"], 1);
    // The run's own settings are enough to evaluate it again.
    bench.run(&["evaluate", "run"]).success();
}
