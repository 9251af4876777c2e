//! The newcomer's command, on a cut-down `digits`.

use cnc_tests::Workbench;

/// A run of seconds: 300 samples a split, one epoch, ten steps.
const SMALL: &[&str] =
    &["digits", "--limit", "300", "--set", "stage1.epochs=1", "--set", "steps=10", "--set", "evaluate_every=5"];

fn small(more: &[&str]) -> Vec<&'static str> {
    let more: Vec<&'static str> = more.iter().map(|word| &*Box::leak(word.to_string().into_boxed_str())).collect();
    [SMALL, &more].concat()
}

#[test]
fn a_run_ends_with_a_table_and_leaves_everything_in_its_folder() {
    let bench = Workbench::new();
    let outcome = bench.run(SMALL).success();
    for words in
        ["worst group", "average (plain)", "labels used: no group labels in training", "report: runs/digits-cnc-0"]
    {
        assert!(outcome.stdout.contains(words), "`{words}` is not in:\n{}", outcome.stdout);
    }
    let results = bench.json("runs/digits-cnc-0/results.json");
    assert_eq!(results["stages"].as_array().map(Vec::len), Some(2));
    assert_eq!(results["test"]["groups"].as_array().map(Vec::len), Some(25));
    assert_eq!(results["limit"], 300);
    for file in [
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "checkpoint/stage-erm.safetensors",
        "checkpoint/last.safetensors",
        "checkpoint/best.safetensors",
        "events.out.tfevents.cnc-train",
    ] {
        assert!(!bench.read(&format!("runs/digits-cnc-0/{file}")).is_empty(), "{file}");
    }
    let report = String::from_utf8(bench.read("runs/digits-cnc-0/report.html")).unwrap();
    assert!(!report.contains("NaN") && !report.contains("<script"), "the report is static and has figures only");
}

#[test]
fn piped_output_has_no_control_codes_and_one_line_an_evaluation() {
    let bench = Workbench::new();
    let outcome = bench.run(SMALL).success();
    assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains('\r'), "{:?}", outcome.stderr);
    let lines = outcome.stderr.lines().filter(|line| line.contains("validation worst group")).count();
    assert_eq!(lines, 3, "{}", outcome.stderr);
    assert_eq!(outcome.stderr.contains("this is a debug build"), cfg!(debug_assertions), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("samples/s") && outcome.stderr.contains(" left"), "{}", outcome.stderr);
    // 300 samples are three batches of 4 x 32.
    let cut = "note: a smoke run: contrastive batches in a step 3 instead of 5, in an epoch 3";
    assert!(outcome.stderr.contains(cut), "{}", outcome.stderr);
}

#[test]
fn the_same_seed_gives_the_same_bits_whatever_the_number_of_threads_and_another_seed_does_not() {
    let bench = Workbench::new();
    let model = |name: &str, seed: &str, threads: &str| {
        let arguments = small(&["--seed", seed, "--out", name]);
        let output = bench.command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (bench.read(&format!("{name}/model.safetensors")), bench.read(&format!("{name}/metrics.jsonl")))
    };
    let first = model("a", "1", "2");
    assert!(first == model("b", "1", "2"), "two runs with the same seed differ");
    assert!(first == model("c", "1", "1"), "the number of threads changes the result");
    assert!(first.0 != model("d", "2", "2").0, "another seed gives the same model");
}

#[test]
fn classes_and_groups_with_few_samples_are_named_when_a_run_starts() {
    let outcome = Workbench::new().run(SMALL).stderr;
    assert!(outcome.contains("warning: groups with fewer than 20 train samples: "), "{outcome}");
}

#[test]
fn the_settings_of_a_run_repeat_it() {
    let bench = Workbench::new();
    let _ = bench.run(&small(&["--seed", "3", "--out", "a", "--select", "average"])).success();
    let _ = bench.run(&["--config", "a/config.toml", "--out", "b"]).success();
    assert!(bench.read("a/model.safetensors") == bench.read("b/model.safetensors"));
    assert!(bench.read("a/config.toml") == bench.read("b/config.toml"));
    let rule = bench.json("b/results.json")["selection_rule"].as_str().unwrap_or_default().to_owned();
    assert!(rule.contains("plain average accuracy on validation"), "{rule}");
}

#[test]
fn erm_alone_is_a_run_of_one_stage() {
    let bench = Workbench::new();
    let outcome = bench.run(&["digits", "--method", "erm", "--limit", "300", "--set", "epochs=1"]).success();
    assert!(outcome.stdout.contains("report: runs/digits-erm-0"), "{}", outcome.stdout);
    assert_eq!(bench.json("runs/digits-erm-0/results.json")["stages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_report_of_two_runs_can_be_built_afterwards() {
    let bench = Workbench::new();
    let _ = bench.run(&small(&["--out", "a"])).success();
    let _ = bench.run(&small(&["--out", "b", "--seed", "1"])).success();
    let _ = bench.run(&["report", "a", "b", "--out", "both.html"]).success();
    assert!(!bench.read("both.html").is_empty());
    bench.run(&["report", "nowhere"]).fails(1, &["nowhere"]);
}

#[test]
fn evaluating_a_finished_run_gives_its_figures_again() {
    let bench = Workbench::new();
    let table = bench.run(&small(&["--out", "a"])).success().stdout;
    let again = bench.run(&["evaluate", "a"]).success().stdout;
    let last_column = |text: &str, row: &str| {
        let line =
            text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("`{row}` is not in:\n{text}"));
        line.split_whitespace().last().map(str::to_owned)
    };
    for row in ["8 or 9 / violet", "worst group", "average (plain)", "changed by attribute"] {
        assert_eq!(last_column(&table, row), last_column(&again, row), "{row}");
    }
    let validation = bench.run(&["evaluate", "a", "--split", "validation"]).success().stdout;
    assert!(validation.contains("validation, n = 300"), "{validation}");
    bench.run(&["evaluate", "b"]).fails(1, &["b: there is no such folder"]);
    std::fs::create_dir(bench.file("b")).unwrap();
    bench.run(&["evaluate", "b"]).fails(1, &["b holds no finished run", "--resume"]);
}

#[test]
fn checking_a_dataset_counts_it_and_trains_nothing() {
    let bench = Workbench::new();
    let outcome = bench.run(&["check", "digits"]).success();
    for words in ["every row was read and decoded", "8 or 9 / violet", "5400", "3000", "10000", "fewer than 20"] {
        assert!(outcome.stdout.contains(words), "`{words}` is not in:\n{}", outcome.stdout);
    }
    assert!(!bench.file("runs").exists());
}
