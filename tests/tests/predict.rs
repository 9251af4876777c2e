//! `predict`: what a finished run's model says of inputs of the user's own, without the data that it was trained on.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use candle_core::Device;
use cnc_tests::texts::{QUICK, comments};
use cnc_tests::{Outcome, Workbench};
use serde_json::Value;

/// A finished run on drawn birds, `run`, with nothing trained to speak of.
fn birds() -> Workbench {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "60", "--side", "32", "--seed", "3"]).success();
    let small = ["--method", "erm", "--model", "lenet", "--set", "epochs=2", "--set", "batch_size=16"];
    bench.run(&[&["birds/dataset.toml", "--out", "run"], &small[..]].concat()).success();
    bench
}

/// A column of the test split's rows in a CSV file without quotes.
fn test_rows(bench: &Workbench, column: &str) -> Vec<String> {
    let text = String::from_utf8(bench.read("birds/metadata.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let place = |name| header.iter().position(|column| *column == name).unwrap();
    lines.filter(|row| row[place("split")] == "2").map(|row| row[place(column)].to_owned()).collect()
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each line's class as its number among `classes`, after checking what every line promises.
fn classes(lines: &[Value], classes: &[&str]) -> Vec<u32> {
    let class = |line: &Value| {
        let probabilities = line["probabilities"].as_object().unwrap();
        let of = |class: &str| probabilities[class].as_f64().unwrap();
        let (class, probability) = (line["class"].as_str().unwrap(), line["probability"].as_f64().unwrap());
        assert_eq!(probabilities.len(), classes.len(), "{line}");
        assert!((classes.iter().map(|class| of(class)).sum::<f64>() - 1.0).abs() < 1e-5, "{line}");
        assert!(classes.iter().all(|other| of(other) <= of(class)) && of(class) == probability, "{line}");
        classes.iter().position(|name| *name == class).unwrap() as u32
    };
    lines.iter().map(class).collect()
}

/// What the run predicted of its test split.
fn predicted(bench: &Workbench, run: &str) -> Vec<u32> {
    let file = bench.file(run).join("predictions.safetensors");
    candle_core::safetensors::load(file, &Device::Cpu).unwrap()["test"].to_vec1().unwrap()
}

/// The same command with this on standard input.
fn with_input(bench: &Workbench, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut command = bench.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that refuses its arguments does not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    Outcome::of(child.wait_with_output().unwrap())
}

#[test]
fn images_get_the_predictions_of_the_runs_evaluation_from_its_folder_alone() {
    let bench = birds();
    let (expected, names) = (predicted(&bench, "run"), test_rows(&bench, "img_filename"));
    let story = bench.json("run/story.json");
    // The data are gone, and the run is elsewhere.
    fs::create_dir(bench.file("elsewhere")).unwrap();
    fs::rename(bench.file("run"), bench.file("elsewhere/model")).unwrap();
    fs::rename(bench.file("birds"), bench.file("pictures")).unwrap();
    fs::remove_file(bench.file("pictures/dataset.toml")).unwrap();
    fs::remove_file(bench.file("pictures/metadata.csv")).unwrap();
    let files: Vec<String> = names.iter().map(|name| format!("pictures/{name}")).collect();
    let list = files.join("\n");
    let outcome = with_input(&bench, &["predict", "elsewhere/model", "-"], list.as_bytes()).success();
    let found = lines(&outcome);
    assert_eq!(found.iter().map(|line| line["input"].as_str().unwrap()).collect::<Vec<_>>(), files);
    assert_eq!(classes(&found, &["landbird", "waterbird"]), expected);
    assert!(outcome.stderr.contains(&format!("{} predicted", files.len())), "{}", outcome.stderr);
    // The probabilities are those of evaluation, as far as the report shows them.
    let mut compared = 0;
    for sample in story["worst_group"]["samples"].as_array().unwrap() {
        for shown in sample["predictions"].as_array().unwrap() {
            let row = sample["row"].as_u64().unwrap() as usize;
            let difference = shown["confidence"].as_f64().unwrap() - found[row]["probability"].as_f64().unwrap();
            assert!(difference.abs() < 1e-4, "row {row}: {shown} and {}", found[row]);
            compared += 1;
        }
    }
    assert!(compared > 0, "{}", story["worst_group"]);

    // As files, as a folder, and as CSV, they are the same.
    let as_files = bench
        .run(&[&["predict", "elsewhere/model"], &files.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!(as_files.success().stdout, outcome.stdout);
    let folder = bench.run(&["predict", "elsewhere/model", "pictures"]).success();
    let all = lines(&folder);
    assert!(all.len() > found.len());
    assert!(all.is_sorted_by_key(|line| PathBuf::from(line["input"].as_str().unwrap())), "{}", folder.stdout);
    for line in &found {
        let same = all.iter().find(|other| other["input"] == line["input"]).unwrap();
        let difference = same["probability"].as_f64().unwrap() - line["probability"].as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "{same} and {line}");
    }
    bench.run(&["predict", "elsewhere/model", "pictures", "--out", "birds.csv"]).success();
    let csv = String::from_utf8(bench.read("birds.csv")).unwrap();
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("input,class,probability,p(landbird),p(waterbird)"));
    for (row, line) in rows.by_ref().zip(&all) {
        let fields: Vec<&str> = row.split(',').collect();
        assert_eq!((fields[0], fields[1]), (line["input"].as_str().unwrap(), line["class"].as_str().unwrap()));
        assert_eq!(fields[2].parse::<f64>().unwrap(), line["probability"].as_f64().unwrap());
    }
    assert_eq!(rows.count(), 0);
    assert_eq!(csv.lines().count(), all.len() + 1);
}

#[test]
fn an_input_that_cannot_be_read_ends_it_and_is_listed_where_it_is_to_be_left_out() {
    let bench = birds();
    let good: Vec<String> = test_rows(&bench, "img_filename").iter().map(|name| format!("birds/{name}")).collect();
    fs::create_dir(bench.file("mixed")).unwrap();
    fs::copy(bench.file(&good[0]), bench.file("mixed/b.JPG")).unwrap();
    fs::copy(bench.file(&good[0]), bench.file("mixed/é ü.png")).unwrap();
    fs::write(bench.file("mixed/a.jpg"), "").unwrap();
    fs::write(bench.file("mixed/c.jpg"), &bench.read(&good[0])[..200]).unwrap();
    fs::write(bench.file("mixed/notes.txt"), "not an image, and not asked about").unwrap();
    fs::write(bench.file("mixed/._b.jpg"), "what another system leaves behind").unwrap();
    fs::create_dir(bench.file("mixed/d.jpg")).unwrap();
    let stopped = bench.run(&["predict", "run", "mixed", "--out", "out.jsonl"]);
    stopped.fails(1, &["mixed/a.jpg: is empty", "--skip-unreadable"]);
    assert!(!bench.file("out.jsonl").exists() && !bench.file("out.jsonl.part").exists());
    let outcome =
        bench.run(&["predict", "run", "mixed", "nowhere.jpg", "mixed/d.jpg/", &good[1], "--skip-unreadable"]).success();
    let inputs: Vec<String> = lines(&outcome).iter().map(|line| line["input"].as_str().unwrap().to_owned()).collect();
    assert_eq!(inputs, ["mixed/b.JPG", "mixed/é ü.png", &good[1]]);
    for left_out in ["mixed/a.jpg: is empty", "mixed/c.jpg: ", "nowhere.jpg: is not there", "mixed/d.jpg/: no image"] {
        assert!(outcome.stderr.contains(&format!("left out: {left_out}")), "{left_out}: {}", outcome.stderr);
    }
    assert!(outcome.stderr.contains("3 predicted, 4 left out"), "{}", outcome.stderr);
    bench.run(&["predict", "run", "mixed/a.jpg", "--skip-unreadable"]).fails(1, &["none of 1 inputs can be read"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bench = birds();
    bench.run(&["predict", "run"]).fails(2, &["<INPUTS>"]);
    bench.run(&["predict", "nowhere", "a.jpg"]).fails(1, &["nowhere", "no such folder"]);
    bench.run(&["predict", "birds", "a.jpg"]).fails(1, &["birds holds no finished run", "--resume"]);
    bench.run(&["predict", "run", "birds", "--column", "text"]).fails(2, &["--column", "takes images"]);
    bench.run(&["predict", "run", "-", "-"]).fails(2, &["`-` stands twice"]);
    bench.run(&["predict", "run", "birds", "--out", "birds"]).fails(2, &["--out birds is a folder"]);
    bench.run(&["predict", "run", "birds", "--out", "no/where.csv"]).fails(1, &["--out no/where.csv"]);
    bench.run(&["predict", "run", "birds", "--max-pixels", "100"]).fails(1, &["at most 100", "--max-pixels"]);
    fs::write(bench.file("list.txt"), "a.jpg").unwrap();
    bench.run(&["predict", "run", "list.txt", "--out", "./list.txt"]).fails(2, &["one of the inputs"]);
    assert_eq!(bench.read("list.txt"), b"a.jpg");

    let damaged = |name: &str, bytes: &[u8], words: &[&str]| {
        let before = bench.read(&format!("run/{name}"));
        fs::write(bench.file("run").join(name), bytes).unwrap();
        bench.run(&["predict", "run", "birds"]).fails(1, words);
        fs::write(bench.file("run").join(name), before).unwrap();
    };
    let model = bench.read("run/model.safetensors");
    damaged("model.safetensors", &model[..model.len() / 2], &["run/model.safetensors"]);
    damaged("config.toml", b"version = 1", &["run/config.toml"]);
    let interface = String::from_utf8(bench.read("run/interface.json")).unwrap();
    damaged("interface.json", b"{", &["run/interface.json", "repeat the run"]);
    damaged(
        "interface.json",
        interface.replace("\"height\": 32", "\"height\": 0").as_bytes(),
        &["interface.json", "32 x 0"],
    );
    damaged("interface.json", interface.replace("[\n    \"landbird\",", "[\"a\", \"b\",").as_bytes(), &["classifier"]);
    fs::remove_file(bench.file("run/interface.json")).unwrap();
    bench.run(&["predict", "run", "birds"]).fails(1, &["run/interface.json", "repeat the run"]);
    fs::remove_file(bench.file("run/results.json")).unwrap();
    bench.run(&["predict", "run", "birds"]).fails(1, &["run holds no finished run", "--resume"]);
}

#[test]
fn texts_get_the_predictions_of_the_runs_evaluation_in_every_form() {
    let bench = comments("300");
    let train = ["comments/dataset.toml", "--init", "model", "--method", "erm", "--out", "run"];
    bench.run(&[&train[..], &QUICK].concat()).success();
    let expected = predicted(&bench, "run");
    // The test split alone, in each form.
    let mut rows = csv::Reader::from_path(bench.file("comments/all_data_with_identities.csv")).unwrap();
    let header = rows.headers().unwrap().clone();
    let place = |name| header.iter().position(|column| column == name).unwrap();
    let records: Vec<csv::StringRecord> =
        rows.records().map(Result::unwrap).filter(|row| &row[place("split")] == "test").collect();
    let texts: Vec<&str> = records.iter().map(|row| &row[place("comment_text")]).collect();
    let mut table = csv::Writer::from_path(bench.file("test.csv")).unwrap();
    table.write_record(&header).unwrap();
    records.iter().for_each(|row| table.write_record(row).unwrap());
    table.flush().unwrap();
    let json: String = texts.iter().map(|text| serde_json::json!({"id": 1, "said": text}).to_string() + "\n").collect();
    fs::write(bench.file("test.jsonl"), json).unwrap();
    fs::remove_dir_all(bench.file("comments")).unwrap();
    fs::remove_dir_all(bench.file("model")).unwrap();

    let csv = bench.run(&["predict", "run", "test.csv"]).success();
    let found = lines(&csv);
    assert_eq!(found.iter().map(|line| line["input"].as_str().unwrap()).collect::<Vec<_>>(), texts);
    assert_eq!(classes(&found, &["civil", "toxic"]), expected);
    let jsonl = bench.run(&["predict", "run", "test.jsonl", "--column", "said"]).success();
    assert_eq!(jsonl.stdout, csv.stdout);
    let piped =
        with_input(&bench, &["predict", "run", "-", "--column", "comment_text"], &bench.read("test.csv")).success();
    assert_eq!(piped.stdout, csv.stdout);
    // One a line, the empty one too.
    let plain = with_input(&bench, &["predict", "run", "-"], b"\xef\xbb\xbfyou are stupid\r\n\r\nthanks").success();
    let inputs: Vec<Value> = lines(&plain).iter().map(|line| line["input"].clone()).collect();
    assert_eq!(inputs, ["you are stupid", "", "thanks"]);
}

#[test]
fn texts_that_cannot_be_read_are_named() {
    let bench = comments("100");
    let train = ["comments/dataset.toml", "--init", "model", "--method", "erm", "--out", "run"];
    bench.run(&[&train[..], &QUICK].concat()).success();
    let predict = |name: &str, bytes: &[u8], more: &[&str]| {
        fs::write(bench.file(name), bytes).unwrap();
        bench.run(&[&["predict", "run", name], more].concat())
    };
    predict("a.txt", b"good\ncaf\xe9\nbad\n", &[])
        .fails(1, &["a.txt: line 2 is not UTF-8", "iconv", "--skip-unreadable"]);
    let outcome = predict("a.txt", b"good\ncaf\xe9\nbad\n", &["--skip-unreadable"]).success();
    assert_eq!(lines(&outcome).len(), 2);
    assert!(outcome.stderr.contains("2 predicted, 1 left out"), "{}", outcome.stderr);
    predict("a.csv", b"id,text\n1,a\n", &[])
        .fails(1, &["a.csv: has no column `comment_text`; it has id, text", "--column"]);
    predict("a.csv", b"id,text\n1,\"a\n2,b\n", &["--column", "text", "--skip-unreadable"])
        .fails(1, &["a.csv: a quote in the row that begins in line 2 is never closed"]);
    predict("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": 3}\n", &["--column", "text"])
        .fails(1, &["a.jsonl: line 2: column `text` is a number"]);
    predict("a.parquet", b"PAR1", &[]).fails(1, &["a.parquet: is parquet"]);
    bench.run(&["predict", "run", "model"]).fails(1, &["model: is a folder"]);
    bench.run(&["predict", "run", "nowhere.txt"]).fails(1, &["nowhere.txt: cannot be opened"]);
    let empty = predict("a.txt", b"", &[]).success();
    assert!(empty.stdout.is_empty() && empty.stderr.contains("0 predicted"), "{}", empty.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_without_a_complaint() {
    let bench = birds();
    let mut child = bench
        .command(&["predict", "run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let good = bench.file("birds").join(&test_rows(&bench, "img_filename")[0]);
    writeln!(child.stdin.take().unwrap(), "{}", good.display()).unwrap();
    let outcome = Outcome::of(child.wait_with_output().unwrap()).success();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_tokenizer_of_a_run_is_the_one_that_its_texts_had() {
    let bench = comments("100");
    // Another vocabulary than the one beside the weights, in a file of its own.
    fs::create_dir(bench.file("other")).unwrap();
    let vocabulary = String::from_utf8(bench.read("model/vocab.txt")).unwrap();
    let mut tokens: Vec<&str> = vocabulary.lines().collect();
    tokens.swap(100 % (tokens.len() - 40), 40);
    fs::write(bench.file("other/words.txt"), tokens.join("\n")).unwrap();
    let train = ["comments/dataset.toml", "--init", "model", "--tokenizer", "other/words.txt", "--method", "erm"];
    bench.run(&[&train[..], &["--out", "run"], &QUICK].concat()).success();
    assert_eq!(bench.read("run/vocab.txt"), bench.read("other/words.txt"));
    let results = bench.json("run/results.json");
    let percent = format!("{:.1}", 100.0 * results["test"]["average_accuracy"].as_f64().unwrap());
    let evaluated = bench.run(&["evaluate", "run"]).success();
    assert!(evaluated.stdout.contains(&percent), "{percent}: {}", evaluated.stdout);
}
