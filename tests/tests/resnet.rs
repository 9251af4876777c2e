//! Runs of a ResNet: weights that it starts from, recomputation, and resuming.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnc_tests::{Outcome, Workbench};

/// Some steps of a ResNet-18 in both stages, with averaged weights in the second.
const RUN: &[&str] = &[
    "digits",
    "--model",
    "resnet18",
    "--limit",
    "40",
    "--set",
    "stage1.epochs=2",
    "--set",
    "stage1.batch_size=16",
    "--set",
    "steps=4",
    "--set",
    "per_part=3",
    "--set",
    "batches_per_step=1",
    "--set",
    "evaluate_every=2",
];

fn run(bench: &Workbench, arguments: &[&str]) -> Outcome {
    bench.run(&[RUN, arguments].concat())
}

#[test]
fn a_stopped_run_with_batch_norm_ends_in_the_same_bits_and_so_does_one_that_recomputes_activations() {
    let bench = Workbench::new();
    let _ = run(&bench, &["--out", "whole"]).success();
    let expected = bench.read("whole/model.safetensors");
    let config = bench.json("whole/config.json");
    assert_eq!((&config["architecture"], &config["num_features"]), (&"resnet18".into(), &512.into()));
    assert_eq!(config["num_classes"].as_u64().unwrap() as usize, config["label_names"].as_array().unwrap().len());

    let recompute = ["--out", "recomputed", "--set", "checkpoint_activations=true"];
    let _ = run(&bench, &recompute).success();
    assert!(bench.read("recomputed/model.safetensors") == expected, "recomputed activations change the model");

    let stopped = ["--out", "stopped"];
    let child = bench.command(&[RUN, &stopped].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    // The second stage has begun.
    while !bench.file("stopped/checkpoint/stage-erm.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(300), "the first stage does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    outcome.fails(130, &["interrupted", "--resume"]);
    let _ = run(&bench, &["--out", "stopped", "--resume"]).success();
    assert!(bench.read("stopped/model.safetensors") == expected, "a resumed run ends in another model");
}

#[test]
fn weights_with_another_head_start_a_run_that_says_so_and_weights_of_another_model_start_none() {
    let bench = Workbench::new();
    let device = candle_core::Device::Cpu;
    for (name, classes) in [("resnet18", 1000), ("resnet34", 5)] {
        let model = cnc_models::build(name, classes, 0, &device).unwrap();
        model.parameters().save(&bench.file(&format!("{name}.safetensors"))).unwrap();
    }
    run(&bench, &["--init", "resnet34.safetensors", "--out", "none"])
        .fails(1, &["resnet34.safetensors", "not for this model", "layer1.2.bn1.bias"]);
    assert!(!bench.file("none").exists(), "a folder was made for a run that never was");
    let few = ["--method", "erm", "--set", "epochs=1"];
    let arguments = [&["digits", "--model", "resnet18", "--limit", "40", "--init", "resnet18.safetensors"][..], &few];
    let outcome = bench.run(&arguments.concat()).success();
    assert!(outcome.stderr.contains("`fc` is for 1000 classes and left out"), "{}", outcome.stderr);
}

#[test]
fn the_contrastive_stage_keeps_the_batch_norm_statistics_of_a_file_and_measures_those_of_drawn_weights() {
    let bench = Workbench::new();
    let device = candle_core::Device::Cpu;
    let model = cnc_models::build("resnet18", 5, 0, &device).unwrap();
    model.parameters().save(&bench.file("drawn.safetensors")).unwrap();
    for (arguments, kept) in
        [(&["--out", "run"][..], false), (&["--out", "run-init", "--init", "drawn.safetensors"], true)]
    {
        let _ = run(&bench, arguments).success();
        let file = bench.file(&format!("{}/model.safetensors", arguments[1]));
        let mean = candle_core::safetensors::load(file, &device).unwrap()["bn1.running_mean"].to_vec1::<f32>().unwrap();
        assert_eq!(mean.iter().all(|mean| *mean == 0.0), kept, "{arguments:?}: {mean:?}");
    }
}

#[test]
fn a_model_that_does_not_recompute_is_refused_before_the_run_begins() {
    let bench = Workbench::new();
    let arguments = ["digits", "--limit", "40", "--set", "checkpoint_activations=true", "--out", "none"];
    bench.run(&arguments).fails(2, &["checkpoint_activations = true", "does not recompute"]);
    assert!(!bench.file("none").exists());
}
