//! Methods that refit the last layer, on the model of another run.

use cnc_tests::Workbench;

const SMALL: [&str; 3] = ["digits", "--limit", "400"];

fn run(bench: &Workbench, more: &[&str]) -> cnc_tests::Outcome {
    bench.run(&[&SMALL[..], more].concat())
}

fn with_cnc() -> Workbench {
    let bench = Workbench::new();
    let steps = ["--set", "stage1.epochs=2", "--set", "steps=12"];
    let _ = run(&bench, &[&["--out", "cnc"], &steps[..]].concat()).success();
    bench
}

#[test]
fn the_last_layer_is_refitted_on_the_encoder_of_another_run() {
    let bench = with_cnc();
    let of_cnc = bench.json("cnc/results.json");
    for (method, more) in [("dfr", "c=[0.1]"), ("afr", "steps=10"), ("dpe", "members=2")] {
        let _ = run(&bench, &["--method", method, "--encoder", "cnc", "--set", more]).success();
        let folder = format!("runs/digits-{method}-on-cnc-0");
        let results = bench.json(&format!("{folder}/results.json"));
        let stages = results["stages"].as_array().unwrap();
        assert_eq!(stages[0]["title"], "CNC, the encoder");
        assert_eq!(stages[0]["test"], of_cnc["test"], "{method} begins with the model that the run saved");
        let budget = results["label_budget"].as_str().unwrap();
        let of_encoder = of_cnc["label_budget"].as_str().unwrap();
        assert!(budget.ends_with(&format!("; the encoder, of cnc with seed 0: {of_encoder}")), "{budget}");
        let notes = stages[1]["notes"].to_string();
        assert_eq!(notes.contains("the encoder was trained on the samples"), method == "afr", "{notes}");
        // The saved model is another one with the same encoder, and predicts by itself.
        assert_ne!(bench.read("cnc/model.safetensors"), bench.read(&format!("{folder}/model.safetensors")));
        let figures = bench.run(&["evaluate", &folder]).success().stdout;
        let average = 100.0 * results["test"]["average_accuracy"].as_f64().unwrap();
        assert!(figures.contains(&format!("{average:.1}")), "{figures}");
    }
}

#[test]
fn an_encoder_that_a_method_or_the_data_cannot_have_is_refused_before_anything_trains() {
    let bench = with_cnc();
    let refused = |more: &[&str], words: &[&str]| {
        let outcome = run(&bench, &[&["--out", "new"], more].concat());
        assert_ne!(outcome.code, Some(0));
        words.iter().for_each(|word| assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr));
        assert!(!bench.file("new").exists());
    };
    refused(&["--method", "jtt", "--encoder", "cnc"], &["refit the last layer", "`jtt` trains all"]);
    refused(&["--method", "dfr", "--encoder", "gone"], &["gone", "no such folder"]);
    refused(
        &["--method", "dfr", "--encoder", "cnc", "--model", "resnet18"],
        &["its model is `lenet`", "--model lenet"],
    );
    refused(&["--method", "dfr", "--encoder", "cnc", "--seed", "1"], &["another train split", "give the --seed"]);
    refused(&["--method", "dfr", "--encoder", "cnc", "--init", "cnc/model.safetensors"], &["--encoder", "--init"]);
}
