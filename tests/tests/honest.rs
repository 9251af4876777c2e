//! What would give a result that is not what it says is refused before anything trains, or said beside the result.

use cnc_tests::{SHORT_RUN, Workbench};

/// A few drawn birds, with their groups and without them (`classes.toml`).
fn birds() -> Workbench {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "120", "--side", "32"]).success();
    let mut manifest: toml::Table = String::from_utf8(bench.read("birds/dataset.toml")).unwrap().parse().unwrap();
    manifest.remove("attribute");
    std::fs::write(bench.file("birds/classes.toml"), manifest.to_string()).unwrap();
    bench
}

const BIRDS: &[&str] = &["birds/dataset.toml", "--model", "lenet", "--limit", "60"];
const CLASSES: &[&str] = &["birds/classes.toml", "--model", "lenet", "--limit", "60"];

fn notes(results: &serde_json::Value) -> String {
    results["stages"].as_array().unwrap().iter().map(|stage| stage["notes"].to_string()).collect()
}

#[test]
fn a_last_batch_of_one_goes_into_the_one_before_and_is_told_of_once() {
    let bench = birds();
    let birds = ["birds/dataset.toml", "--model", "resnet18", "--limit", "33"];
    let note = "a last batch of one sample is put into the one before, which then has 33";
    for (method, settings) in [
        ("erm", &["--set", "batch_size=32", "--set", "epochs=2"][..]),
        ("jtt", &["--set", "stage1.batch_size=32", "--set", "stage1.epochs=1", "--set", "steps=1"]),
    ] {
        let run = [&birds[..], &["--method", method, "--out", method], settings].concat();
        let outcome = bench.run(&run).success();
        assert_eq!(outcome.stderr.matches(note).count(), 1, "{method}: {}", outcome.stderr);
        let weights =
            candle_core::safetensors::load(bench.file(method).join("model.safetensors"), &candle_core::Device::Cpu);
        for (name, weight) in weights.unwrap() {
            let values = weight.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap();
            assert!(values.to_vec1::<f64>().unwrap().iter().all(|value| value.is_finite()), "{method}: {name}");
        }
    }
    assert_eq!(bench.json("erm/results.json")["stages"][0]["steps"], 2);
}

#[test]
fn batches_of_a_single_row_are_refused_before_training_where_a_network_cannot_train_on_them() {
    let bench = birds();
    let birds = ["birds/dataset.toml", "--model", "resnet18", "--method", "erm"];
    let alone = [&birds[..], &["--limit", "1"]].concat();
    bench.run(&alone).fails(1, &["resnet18", "batch of one row", "more than one training row"]);
    let ones = [&birds[..], &["--limit", "20", "--set", "batch_size=1"]].concat();
    bench.run(&ones).fails(1, &["resnet18", "batch of one row", "`batch_size` to at least 2"]);
    assert!(!bench.file("runs").exists(), "a run folder was made for a run that never was");
}

#[test]
fn methods_that_are_told_groups_are_refused_without_them_and_the_others_named() {
    let bench = birds();
    for method in ["group-dro", "rwg", "subg", "dfr"] {
        let outcome = bench.run(&[CLASSES, &["--method", method]].concat());
        outcome.fails(1, &[method, "has none", "names no attribute", "cnc, erm, eiil, jtt, lff, cvar-dro, rwy"]);
    }
    bench
        .run(&["compare", "birds/classes.toml", "--methods", "erm,rwg", "--model", "lenet", "--limit", "60"])
        .fails(1, &["`rwg`", "names no attribute"]);
    assert!(!bench.file("runs").exists(), "something was trained before the check");
}

#[test]
fn without_groups_the_budget_and_the_rule_say_what_was_used() {
    let bench = birds();
    let outcome = bench.run(&[CLASSES, &["--method", "erm", "--set", "steps=3", "--out", "run"]].concat()).success();
    assert!(outcome.stderr.contains("there are no groups: the worst group is the worst class"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("labels used: no group labels anywhere\n"), "{}", outcome.stdout);
    let results = bench.json("run/results.json");
    assert_eq!(results["label_budget"], "no group labels anywhere");
    assert_eq!(results["selected"]["metric"], "worst_class_accuracy");
    let rule = results["selection_rule"].as_str().unwrap();
    assert!(rule.contains("worst-class") && rule.contains("no attribute"), "{rule}");
}

#[test]
fn slices_of_a_plain_models_errors_select_without_any_group_label_and_go_on_after_a_stop() {
    let bench = birds();
    let slices = [BIRDS, &["--select", "worst-slice"]].concat();
    let cnc = [&slices[..], &["--set", "stage1.epochs=1", "--set", "steps=2", "--out", "cnc"]].concat();
    bench.run(&cnc).success();
    let results = bench.json("cnc/results.json");
    assert_eq!(results["label_budget"], "no group labels anywhere");
    assert_eq!(results["selected"]["metric"], "worst_slice_accuracy");
    assert!(results["selection_rule"].as_str().is_some_and(|rule| rule.contains("plain model errs")));
    // The plain model is wrong on all of its errors: its own figure is its average, which nothing is selected by.
    assert_eq!(results["stages"][0]["selected"]["metric"], "average_accuracy");
    let model = bench.read("cnc/model.safetensors");
    std::fs::remove_file(bench.file("cnc/results.json")).unwrap();
    bench.run(&[&cnc[..], &["--resume"]].concat()).success();
    assert_eq!(bench.read("cnc/model.safetensors"), model, "other slices after the stop");

    let erm = [&slices[..], &["--method", "erm", "--set", "steps=2", "--out", "erm"]].concat();
    bench.run(&erm).success();
    let results = bench.json("erm/results.json");
    assert_eq!(results["selected"]["metric"], "worst_class_accuracy");
    let rule = results["selection_rule"].as_str().unwrap();
    assert!(rule.contains("worst-class") && rule.contains("no plain model"), "{rule}");
}

#[test]
fn a_method_without_samples_of_a_class_or_a_group_is_refused_before_its_first_stage() {
    let bench = birds();
    // Both classes are in training, one group or one class is not in validation.
    let table = String::from_utf8(bench.read("birds/metadata.csv")).unwrap();
    let without = |file: &str, is_left_out: fn(&[&str]) -> bool| {
        let kept = table.lines().filter(|line| !is_left_out(&line.split(',').collect::<Vec<_>>()));
        std::fs::write(bench.file("birds").join(file), kept.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        let mut manifest: toml::Table = String::from_utf8(bench.read("birds/dataset.toml")).unwrap().parse().unwrap();
        let splits = manifest["splits"].as_table_mut().unwrap();
        splits.insert("files".to_owned(), vec![file].into());
        for split in ["train", "validation", "test"] {
            splits[split].as_table_mut().unwrap().remove("rows");
        }
        std::fs::write(bench.file("birds").join(file.replace("csv", "toml")), manifest.to_string()).unwrap();
    };
    // img_id, img_filename, y, split, place
    without("class.csv", |row| (row[2], row[3]) == ("1", "1"));
    without("group.csv", |row| (row[2], row[3], row[4]) == ("1", "1", "0"));
    for method in ["dfr", "dpe"] {
        let run = ["birds/class.toml", "--model", "lenet", "--method", method];
        bench.run(&run).fails(1, &[method, "validation split", "no sample of class `waterbird`"]);
    }
    let run = ["birds/group.toml", "--model", "lenet", "--method", "dfr"];
    bench.run(&run).fails(1, &["`dfr`", "none of `waterbird / land`"]);
    let few = ["birds/dataset.toml", "--model", "lenet", "--method", "afr", "--set", "held_out=0.01"];
    bench.run(&few).fails(1, &["`afr`", "held-out", "class `waterbird`", "`held_out`", "--seed"]);
    assert!(!bench.file("runs").exists(), "something was trained before the check");
}

#[test]
fn dfr_says_how_many_samples_of_which_group_it_is_fitted_to() {
    let bench = birds();
    let run = ["--method", "dfr", "--set", "stage1.steps=2", "--set", "draws=3", "--out", "run"];
    let outcome = bench.run(&[BIRDS, &run].concat()).success();
    for told in [outcome.stderr, notes(&bench.json("run/results.json"))] {
        assert!(told.contains("averages 3 last layers, each fitted to 3 samples of every validation group"), "{told}");
        assert!(told.contains("12 of 30 in all") && told.contains("`waterbird / land` 3"), "{told}");
    }
}

#[test]
fn a_search_by_the_samples_that_a_method_is_fitted_to_is_refused() {
    let bench = birds();
    bench
        .run(&[BIRDS, &["--method", "dfr", "--grid", "c=[0.1],[1.0]"]].concat())
        .fails(2, &["c=[0.1]", "`dfr`", "fitted"]);
    let compare = ["compare", "birds/dataset.toml", "--methods", "erm,dfr", "--grid", "dfr.c=[0.1],[1.0]"];
    bench.run(&compare).fails(2, &["`dfr`", "fitted to the validation split"]);
    assert!(!bench.file("runs").exists());
}

#[test]
fn a_setting_that_another_one_switches_off_is_told_of_once_and_kept_in_the_results() {
    let bench = birds();
    for (run, method, sets, name) in [
        ("a", "erm", &["optimizer.name=adamw", "optimizer.momentum=.5", "steps=2"][..], "optimizer.momentum"),
        (
            "b",
            "erm",
            &["optimizer.schedule=constant", "optimizer.warmup_steps=10", "steps=2"],
            "optimizer.warmup_steps",
        ),
        ("c", "cnc", &["folds=5", "steps=1", "stage1.steps=1"], "folds"),
    ] {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let outcome = bench.run(&[BIRDS, &["--method", method, "--out", run], &sets].concat()).success();
        let told = format!("setting `{name}` has no effect");
        assert_eq!(outcome.stderr.matches(&told).count(), 1, "{}", outcome.stderr);
        assert!(notes(&bench.json(&format!("{run}/results.json"))).contains(&told), "{run}");
    }
    // What repeats the recipe is not given by anybody.
    let again = ["--method", "erm", "--config", "b/config.toml", "--set", "optimizer.warmup_steps=0", "--out", "d"];
    assert!(bench.run(&[BIRDS, &again].concat()).success().stderr.contains("`optimizer.warmup_steps` has no effect"));
    let plain = bench.run(&[BIRDS, &["--method", "erm", "--set", "steps=1", "--out", "e"]].concat()).success();
    assert!(!plain.stderr.contains("no effect"), "{}", plain.stderr);
}

#[test]
fn a_grid_of_equal_trials_is_refused_where_that_is_known_and_said_where_it_turns_out() {
    let bench = birds();
    let erm = [BIRDS, &["--method", "erm", "--set", "steps=2", "--out", "grid"]].concat();
    let idle = ["--set", "optimizer.name=adamw", "--grid", "optimizer.momentum=0,.9"];
    bench.run(&[&erm[..], &idle].concat()).fails(2, &["--grid optimizer.momentum", "the same", "no effect"]);
    assert!(!bench.file("grid").exists());
    let outcome = bench.run(&[&erm[..], &["--grid", "evaluate_every=2,3"]].concat()).success();
    assert!(outcome.stdout.contains("2 of 2 trials are equal on validation"), "{}", outcome.stdout);
}

#[test]
fn steps_and_epochs_replace_each_other_and_both_are_refused() {
    let bench = birds();
    let _ = bench.run(&[BIRDS, &["--method", "erm", "--set", "steps=3", "--out", "steps"]].concat()).success();
    assert_eq!(bench.json("steps/results.json")["stages"][0]["steps"], 3);
    let epochs = ["--method", "rwy", "--set", "batch_size=30", "--set", "epochs=2", "--out", "epochs"];
    let _ = bench.run(&[BIRDS, &epochs].concat()).success();
    assert_eq!(bench.json("epochs/results.json")["stages"][0]["steps"], 4);
    let both = [BIRDS, &["--method", "erm", "--set", "steps=3", "--set", "epochs=2"]].concat();
    bench.run(&both).fails(2, &["`steps`", "`epochs`", "exactly one"]);
}

#[test]
fn a_first_stage_that_says_one_class_is_told_of_and_kept_in_the_results() {
    let bench = birds();
    // Two batches are a pass: JTT takes the answers as samples are seen.
    let settings = ["--set", "stage1.steps=2", "--set", "stage1.optimizer.learning_rate=1e-9", "--set", "steps=1"];
    for method in ["cnc", "jtt", "eiil"] {
        let outcome = bench.run(&[BIRDS, &["--method", method, "--out", method], &settings].concat()).success();
        let failure = bench.json(&format!("{method}/results.json"))["stages"][0]["failure"].to_string();
        let page = String::from_utf8(bench.read(&format!("{method}/report.html"))).unwrap();
        for told in [outcome.stderr, outcome.stdout, failure, page] {
            assert!(told.contains("for every training sample") && told.contains("Errors by class"), "{method}: {told}");
        }
    }
}

#[test]
fn a_selected_model_that_says_one_class_is_kept_in_the_results() {
    let bench = birds();
    let outcome = bench.run(&[BIRDS, &["--method", "erm", "--set", "steps=4", "--out", "run"]].concat()).success();
    assert!(outcome.stderr.contains("predicts `landbird` for every validation sample"), "{}", outcome.stderr);
    let notes = notes(&bench.json("run/results.json"));
    assert!(notes.contains("predicts `landbird` for every validation sample"), "{notes}");
}

#[test]
fn a_step_size_of_group_dro_that_is_too_large_is_named() {
    let bench = birds();
    let run = [BIRDS, &["--method", "group-dro", "--set", "step_size=1e9", "--out", "run"]].concat();
    bench.run(&run).fails(1, &["step_size", "smaller", "0/0"]);
    assert!(!bench.file("run/results.json").exists());
}

#[test]
fn the_checkpoints_that_other_rules_would_have_chosen_are_kept_and_can_be_used() {
    let bench = Workbench::new();
    let _ = bench.run(SHORT_RUN).success();
    let results = bench.json("run/results.json");
    let stages = results["stages"].as_array().unwrap();
    assert!(stages[0]["alternatives"].is_null(), "the plain model is taken as it is after its last step");
    let alternatives = stages[1]["alternatives"].as_array().unwrap();
    let metrics: Vec<&str> = alternatives.iter().map(|best| best["metric"].as_str().unwrap()).collect();
    assert_eq!(
        metrics,
        ["worst_class_accuracy", "balanced_accuracy", "worst_slice_accuracy", "average_accuracy"],
        "all but the run's own"
    );
    let average = alternatives[3]["value"].as_f64().unwrap();
    let by = |rule: &str| bench.run(&["evaluate", "run", "--split", "validation", "--select", rule]).success().stdout;
    assert!(by("average").contains(&format!("{:.1}", 100.0 * average)), "{}", by("average"));
    assert_eq!(by("worst-group"), bench.run(&["evaluate", "run", "--split", "validation"]).success().stdout);
    std::fs::remove_file(bench.file("run/checkpoint/best-average_accuracy.safetensors")).unwrap();
    let gone = bench.run(&["evaluate", "run", "--select", "average"]);
    gone.fails(1, &["keeps no checkpoint with the best average_accuracy", "it has worst_group_accuracy"]);
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("Other rules") && page.contains("average accuracy: step"));
}

#[test]
fn what_training_shows_of_an_image_is_a_setting_of_its_stage() {
    let bench = Workbench::new();
    let run = |out: &str, more: &[&str]| {
        let base = ["digits", "--method", "erm", "--limit", "200", "--set", "steps=6", "--out", out];
        bench.run(&[&base[..], more].concat())
    };
    let _ = run("crop", &[]).success();
    let resized = ["--set", "views.part=resized-crop", "--set", "views.scale=[0.5, 0.9]", "--set", "views.flip=true"];
    let _ = run("resized", &resized).success();
    let _ = run("again", &resized).success();
    let model = |name: &str| bench.read(&format!("{name}/model.safetensors"));
    assert_ne!(model("crop"), model("resized"));
    assert_eq!(model("resized"), model("again"));
    run("bad", &["--set", "views.scale=[0.9, 0.5]"]).fails(2, &["`views.scale` is [0.9, 0.5]", "the smaller first"]);
    run("bad", &["--set", "views.part=middle"]).fails(2, &["middle", "resized-crop"]);
    let idle = run("idle", &["--set", "views.flip=true"]).success();
    assert!(idle.stderr.contains("setting `views.flip` has no effect"), "{}", idle.stderr);
}
