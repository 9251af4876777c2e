//! Comments from `cargo xtask synth` to a trained model: a small BERT with weights drawn from the seed.

use std::fs;

use cnc_tests::Outcome;
use cnc_tests::texts::{CONFIG, QUICK, comments};

/// The numbers of a line of `check`: train, validation, test.
fn counts(outcome: &Outcome, title: &str, name: &str) -> [u64; 3] {
    let part = outcome.stdout.split(&format!("\n{title} ")).nth(1).unwrap();
    let line = part.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn check_shows_groups_of_evaluation_that_overlap_beside_those_of_training_that_do_not() {
    let bench = comments("400");
    let outcome =
        bench.run(&["check", "comments/dataset.toml", "--tokenizer", "model", "--max-length", "40"]).success();
    let all = counts(&outcome, "rows", "all");
    assert_eq!(all, [400, 67, 199]);
    let identities = ["male", "female", "LGBTQ", "christian", "muslim", "other_religions", "black", "white"];
    let sum = |title: &str, names: &[&str]| {
        let mut sum = [0; 3];
        for class in ["civil", "toxic"] {
            for name in names {
                let counts = counts(&outcome, title, &format!("{class} / {name}"));
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        sum
    };
    assert_eq!(sum("groups of training", &["no identity", "any identity"]), all, "none is lost and none is doubled");
    let evaluated = sum("groups of evaluation", &identities);
    let none = counts(&outcome, "groups of evaluation", "in none of them");
    let mentioned = sum("groups of training", &["any identity"]);
    for split in 0..3 {
        assert_eq!(none[split] + mentioned[split], all[split]);
        assert!(evaluated[split] > mentioned[split], "some comments are about two");
    }
    assert!(outcome.stdout.contains("groups of evaluation overlap"), "{}", outcome.stdout);
    assert_eq!(counts(&outcome, "tokens of a text", "longest"), [40; 3]);
    // The hub's layout and the authors' hold the same; without a tokenizer the rows are counted all the same.
    bench.xtask(&["fetch", "civilcomments", "--from", "comments"]).success();
    for arguments in [&["--data", "comments"][..], &[]] {
        let other = bench.run(&[&["check", "civilcomments", "--allow-count-mismatch"], arguments].concat()).success();
        assert_eq!(counts(&other, "rows", "all"), all);
        assert!(other.stderr.contains("no tokenizer was given"), "{}", other.stderr);
    }
}

#[test]
fn a_text_model_is_trained_reported_evaluated_and_goes_on_from_its_own_folder() {
    let bench = comments("600");
    let train = |method: &str, out: &str, more: &[&str]| {
        let start = ["comments/dataset.toml", "--init", "model", "--method", method, "--out", out];
        bench.run(&[&start[..], more].concat()).success()
    };
    let outcome = train("erm", "erm", &QUICK);
    assert!(outcome.stderr.contains("starting from scratch"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("groups overlap"), "{}", outcome.stdout);
    let results = bench.json("erm/results.json");
    assert!(results["test"]["average_accuracy"].as_f64().unwrap() > 0.75, "{}", results["test"]);
    assert_eq!(results["test"]["groups"].as_array().unwrap().len(), 16);
    assert_eq!(results["test"]["groups_overlap"], true);
    let story = bench.json("erm/story.json");
    let shown = &story["worst_group"]["samples"][0];
    assert!(shown["text"].as_str().is_some_and(|text| text.len() > 5), "{shown}");
    // The run's folder is a checkpoint itself: with sizes, tokenizer and weights.
    let evaluated = bench.run(&["evaluate", "erm", "--split", "test"]).success();
    let percent = format!("{:.1}", 100.0 * results["test"]["average_accuracy"].as_f64().unwrap());
    assert!(evaluated.stdout.contains(&percent), "{percent}: {}", evaluated.stdout);
    let again = bench
        .run(&[&["comments/dataset.toml", "--init", "erm", "--method", "erm", "--out", "again"], &QUICK[..]].concat())
        .success();
    assert!(again.stderr.contains("starting from the weights in erm"), "{}", again.stderr);
    // Equal seeds give equal bits.
    train("erm", "twin", &QUICK);
    assert!(bench.read("erm/model.safetensors") == bench.read("twin/model.safetensors"), "other weights");
}

#[test]
fn correct_n_contrast_runs_on_texts_and_group_methods_have_the_groups_of_training() {
    let bench = comments("300");
    let small = ["--max-length", "32", "--set", "pooling=mean"];
    let cnc = [
        "--set",
        "stage1.epochs=1",
        "--set",
        "steps=4",
        "--set",
        "evaluate_every=2",
        "--set",
        "per_part=4",
        "--set",
        "optimizer.name=adamw",
        "--set",
        "optimizer.learning_rate=1e-3",
    ];
    let start = ["comments/dataset.toml", "--init", "model", "--out"];
    bench.run(&[&start[..], &["cnc"], &small, &cnc].concat()).success();
    let story = bench.json("cnc/story.json");
    assert!(story["contrastive_batch"]["anchors"][0]["text"].is_string(), "{}", story["contrastive_batch"]);
    let dro = ["--method", "group-dro", "--set", "steps=0", "--set", "epochs=1"];
    let outcome = bench.run(&[&start[..], &["dro"], &small, &dro].concat()).success();
    assert!(outcome.stderr.contains("train on 4 that do not"), "{}", outcome.stderr);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_read() {
    let bench = comments("100");
    let run = |arguments: &[&str]| bench.run(&[&["comments/dataset.toml"], arguments].concat());
    run(&[]).fails(2, &["`bert`", "config.json", "--init DIR"]);
    run(&["--model", "lenet"]).fails(2, &["`lenet` takes images", "holds text"]);
    bench.run(&["digits", "--model", "bert", "--init", "model"]).fails(2, &["`bert` takes text", "holds images"]);
    bench.run(&["digits", "--max-length", "8"]).fails(1, &["max_length", "this dataset holds images"]);
    for (length, words) in [("0", "too short"), ("2", "too short"), ("65", "too long: the model takes 64 tokens")] {
        run(&["--init", "model", "--max-length", length]).fails(1, &["max_length", length, words]);
    }
    run(&["--init", "model", "--set", "pooling=max"]).fails(2, &["max", "pooler", "mean"]);
    run(&["--init", "model", "--max-length", "32", "--set", "freeze=encoder.layer.9"]).fails(1, &["encoder.layer.9"]);
    run(&["--init", "nowhere"]).fails(1, &["nowhere", "config.json"]);
    fs::write(bench.file("model/config.json"), CONFIG.replace("400", "20")).unwrap();
    run(&["--init", "model", "--max-length", "32"]).fails(1, &["vocab.txt", "of which the model embeds 20"]);
    assert!(!bench.file("runs").exists(), "a run folder was made for a run that never was");
}
