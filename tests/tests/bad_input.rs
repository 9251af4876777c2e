//! Bad input gets an error that names it and says what to do, and leaves nothing that looks complete.

use std::path::Path;

use cnc_tests::{Outcome, Workbench};

#[test]
fn an_unknown_dataset_is_refused_and_the_nearest_named() {
    Workbench::new().run(&["digit"]).fails(2, &["`digit`", "digits"]);
}

#[test]
fn an_unknown_method_is_refused_and_the_nearest_named() {
    Workbench::new().run(&["digits", "--method", "cnn"]).fails(2, &["`cnn`", "did you mean `cnc`?", "erm"]);
}

#[test]
fn an_unknown_model_is_refused_and_the_valid_ones_named() {
    Workbench::new().run(&["digits", "--model", "lenett"]).fails(2, &["lenett", "lenet"]);
}

#[test]
fn an_unknown_option_is_refused_and_the_nearest_named() {
    Workbench::new().run(&["digits", "--sed", "1"]).fails(2, &["--sed", "--seed"]);
}

#[test]
fn an_unknown_setting_is_refused_and_the_nearest_named() {
    let bench = Workbench::new();
    bench.run(&["digits", "--set", "temprature=0.05"]).fails(2, &["`temprature`", "did you mean `temperature`?"]);
    bench.run(&["digits", "--set", "learning-rate=0.05"]).fails(2, &["`learning-rate`", "optimizer.learning_rate"]);
    bench.run(&["digits", "--set", "temperature"]).fails(2, &["--set temperature", "key=value"]);
    bench.run(&["digits", "--set", "loss=denze"]).fails(2, &["denze", "dense", "published"]);
    assert!(!bench.file("runs").exists(), "a run folder was made for a run that never was");
}

#[test]
fn a_setting_in_a_file_is_checked_as_one_on_the_command_line() {
    let bench = Workbench::new();
    std::fs::write(bench.file("a.toml"), "dataset = \"digits\"\n[settings]\ntemprature = 0.05\n").unwrap();
    bench.run(&["--config", "a.toml"]).fails(2, &["a.toml", "`temprature`", "did you mean `temperature`?"]);
    std::fs::write(bench.file("b.toml"), "dataset = \"digits\"\ntemperature = 0.05\n").unwrap();
    bench.run(&["--config", "b.toml"]).fails(2, &["b.toml", "temperature"]);
    std::fs::write(bench.file("c.toml"), "[settings]\noptimizer.learning_rate = \"1e-4\"\n").unwrap();
    bench.run(&["digits", "--config", "c.toml"]).fails(2, &["c.toml", "optimizer.learning_rate", "string", "float"]);
    bench.run(&["digits", "--config", "nowhere.toml"]).fails(1, &["nowhere.toml"]);
}

#[test]
fn values_that_cannot_train_are_refused_before_anything_is_read() {
    let bench = Workbench::new();
    for (setting, name) in [
        ("temperature=0", "temperature"),
        ("temperature=-1", "temperature"),
        ("temperature=nan", "temperature"),
        ("per_part=0", "per_part"),
        ("contrastive_weight=1.5", "contrastive_weight"),
        ("stage1.epochs=-1", "epochs"),
        ("stage1.epochs=0", "epochs"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate"),
        ("evaluate_every=-1", "evaluate_every"),
        // More than any memory holds.
        ("per_part=9223372036854775807", "per_part"),
    ] {
        bench.run(&["digits", "--set", setting]).fails(2, &[name, "expected"]);
    }
    bench.run(&["digits", "--set", "epochs=3", "--set", "steps=3"]).fails(2, &["`steps`", "`epochs`", "exactly one"]);
    assert!(!bench.file("runs").exists());
}

#[test]
fn a_device_that_is_not_there_is_refused_and_not_replaced() {
    let bench = Workbench::new();
    bench.run(&["digits", "--device", "cuda:9"]).fails(2, &["cuda:9", "--device cpu"]);
    bench.run(&["digits", "--device", "gpu"]).fails(2, &["`gpu`", "cuda"]);
}

#[test]
fn data_that_is_not_here_is_asked_for_with_the_command_that_brings_it() {
    Workbench::new().run(&["cmnist"]).fails(1, &["cargo xtask fetch cmnist"]);
}

#[test]
fn damage_in_the_test_split_alone_stops_a_run_before_it_starts() {
    let bench = Workbench::new();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/digits");
    for file in ["dataset.toml", "recipe.toml", "train.parquet", "test.parquet"] {
        std::fs::copy(digits.join(file), bench.file(file)).unwrap();
    }
    let test = bench.read("test.parquet");
    std::fs::write(bench.file("test.parquet"), &test[..test.len() / 2]).unwrap();
    bench.run(&["./dataset.toml", "--limit", "100"]).fails(1, &["test.parquet", "cut short", "copy it again"]);
    assert!(!bench.file("runs").exists(), "a run folder was made for a run that never was");
}

#[test]
fn a_folder_that_holds_another_run_is_left_alone() {
    let bench = Workbench::new();
    let arguments = ["digits", "--method", "erm", "--limit", "100", "--set", "epochs=1", "--out", "here"];
    let _ = bench.run(&arguments).success();
    let before = bench.read("here/results.json");
    bench.run(&arguments).fails(1, &["here", "finished run", "--out"]);
    assert!(bench.read("here/results.json") == before);

    std::fs::create_dir(bench.file("other")).unwrap();
    std::fs::write(bench.file("other/thesis.txt"), "chapter one").unwrap();
    bench.run(&["digits", "--out", "other"]).fails(1, &["other", "not empty"]);
    assert_eq!(std::fs::read_dir(bench.file("other")).unwrap().count(), 1);
}

#[test]
fn training_that_diverges_stops_with_the_step_and_no_results() {
    let bench = Workbench::new();
    let arguments = [
        "digits",
        "--method",
        "erm",
        "--limit",
        "200",
        "--set",
        "epochs=3",
        "--set",
        "optimizer.learning_rate=1e30",
        "--out",
        "x",
    ];
    bench.run(&arguments).fails(1, &["at step", "stage `erm`", "optimizer.learning_rate"]);
    assert!(!bench.file("x/results.json").exists());
}

#[test]
fn a_plain_model_that_predicts_one_class_only_is_warned_of_and_so_is_its_single_slice() {
    let bench = Workbench::new();
    let tiny = ["--set", "stage1.epochs=1", "--set", "stage1.optimizer.learning_rate=1e-8", "--set", "steps=2"];
    let outcome =
        bench.run(&[&["digits", "--limit", "200", "--set", "evaluate_every=2"][..], &tiny].concat()).success();
    assert!(outcome.stderr.contains("for every validation sample"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("one slice"), "{}", outcome.stderr);
}

#[test]
fn numbers_below_what_an_option_takes_are_refused_by_its_name() {
    let bench = Workbench::new();
    bench.run(&["digits", "--limit", "0"]).fails(2, &["--limit 0", "at least 1"]);
    for option in ["--limit", "--seed", "--max-pixels", "--max-length"] {
        bench.run(&["digits", option, "-1"]).fails(2, &["invalid value '-1'", option]);
    }
    bench.run(&["digits", "--max-pixels", "0"]).fails(1, &["--max-pixels"]);
    assert!(!bench.file("runs").exists());
}

#[test]
fn a_folder_without_weights_is_no_start_for_a_model_of_images() {
    let bench = Workbench::new();
    std::fs::create_dir(bench.file("empty")).unwrap();
    bench.run(&["digits", "--init", "empty"]).fails(1, &["--init empty", "model.safetensors"]);
}

/// Nobody reads on, as behind `| head -1`: nothing is lost, and nothing is complained of.
#[test]
#[cfg(unix)]
fn a_closed_pipe_ends_neither_a_listing_nor_a_run() {
    use std::process::Stdio;

    let bench = Workbench::new();
    let train = ["digits", "--method", "erm", "--limit", "100", "--set", "epochs=1", "--out", "run"];
    for arguments in [&["methods"][..], &train] {
        let mut child = bench.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
    assert!(bench.file("run/results.json").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_do_not_fit_on_standard_output_are_an_error() {
    let bench = Workbench::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let outcome = Outcome::of(bench.command(&["methods"]).stdout(full).output().unwrap());
    outcome.fails(1, &["standard output cannot be written", "No space left"]);
}
