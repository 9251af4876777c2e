//! Texts: classes and groups by thresholds, tokens, batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, StringArray};
use cnc_data::{Augment, Dataset, Group, Inputs, OpenOptions, Progress};

use crate::common::comments::{Comments, ids, tokenizer};
use crate::common::write_table;

const CLS: u32 = 2;
const SEP: u32 = 3;

fn rows_of(groups: &[Group]) -> Vec<(&str, &[u32])> {
    groups.iter().map(|group| (group.name.as_str(), group.rows.as_slice())).collect()
}

/// A tokenizer of one's own making, in a folder with the files given.
fn model(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tokenizer("vocab.txt"), folder.path().join("vocab.txt")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn half_of_the_annotators_make_a_class_and_an_identity_and_less_do_not() {
    let comments = Comments::new(&["the film,train,0.5,0.5,0.49", "the film,train,0.4999,0.5,0.5", "ok,train,1,0,"]);
    let train = comments.open().unwrap().train;
    assert_eq!(train.labels(), [1, 0, 1]);
    assert_eq!(
        rows_of(train.groups()),
        [("civil / male", [1].as_slice()), ("civil / black", &[1]), ("toxic / male", &[0]), ("toxic / black", &[])]
    );
    assert_eq!(
        rows_of(train.training_groups()),
        [
            ("civil / no identity", [].as_slice()),
            ("civil / any identity", &[1]),
            ("toxic / no identity", &[2]),
            ("toxic / any identity", &[0])
        ]
    );
    assert_eq!(train.attributes(), [1, 1, 0]);
}

#[test]
fn every_row_is_in_one_training_group_and_in_as_many_groups_of_evaluation_as_it_has_identities() {
    let shares = ["", "0", "0.7"];
    let rows: Vec<String> = (0..27)
        .map(|i| format!("text {i},train,{},{},{}", [0.0, 0.5, 1.0][i % 3], shares[i / 3 % 3], shares[i / 9]))
        .collect();
    let comments = Comments::new(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let dataset = comments.open().unwrap();
    let count = |groups: &[Group]| groups.iter().map(|group| group.rows.len()).sum::<usize>();
    assert_eq!(count(dataset.train.training_groups()), 27, "none is lost and none is doubled");
    assert_eq!(count(dataset.train.groups()), 9 + 9, "a third mentions each");
    assert_eq!(dataset.attributes, ["no identity", "any identity"]);
    // 2 of 3 shares are not empty: 4 of 9 rows are annotated, and so is one held-out row in two.
    assert!(dataset.notes.iter().any(|note| note.contains("17 rows have an empty cell")), "{:?}", dataset.notes);
}

#[test]
fn images_and_single_attributes_have_the_same_groups_for_training_and_evaluation() {
    let comments = Comments::new(&["the film,train,0,0.5,", "bad,train,1,,"]);
    comments.edit(
        "[attributes]\ncolumns = [\"male\", \"black\"]\nthreshold = 0.5\nnone = \"no identity\"\nany = \"any identity\"",
        "[attribute]\ncolumn = \"male\"\nnames = [\"no men\", \"men\"]\nthreshold = 0.5",
    );
    let train = comments.open().unwrap().train;
    assert_eq!(train.groups(), train.training_groups());
    assert_eq!(train.groups()[1].name, "civil / men");
    assert_eq!(
        (train.groups()[1].rows.as_slice(), train.groups()[2].rows.as_slice()),
        ([0].as_slice(), [1].as_slice())
    );
}

#[test]
fn tokens_are_those_of_hugging_faces_tokenizers_from_either_file_in_either_case() {
    let text = std::fs::read_to_string(tokenizer("tokens.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    let comments = Comments::new(&[]);
    let line = |text: &serde_json::Value, split: &str, toxicity: i32| {
        serde_json::json!({ "comment_text": text, "split": split, "toxicity": toxicity, "male": 0, "black": 0 })
            .to_string()
    };
    let mut lines: Vec<String> = texts.iter().map(|text| line(text, "train", 0)).collect();
    lines.extend([line(&"a".into(), "val", 1), line(&"a".into(), "test", 1)]);
    comments.write("comments.jsonl", lines.join("\n"));
    comments.edit("comments.csv", "comments.jsonl");
    let cased = model(&[("tokenizer_config.json", "{\"do_lower_case\": false, \"model_max_length\": 512}")]);
    let uncased = model(&[]);
    for (tokenizer, case) in [
        (tokenizer("tokenizer.json"), "uncased"),
        (tokenizer("vocab.txt"), "uncased"),
        (tokenizer(""), "uncased"),
        (uncased.path().to_path_buf(), "uncased"),
        (cased.path().to_path_buf(), "cased"),
    ] {
        let options = OpenOptions { tokenizer: Some(tokenizer.clone()), max_length: Some(32), ..comments.options() };
        let train = comments.open_with(&options).unwrap().train;
        for (row, (text, expected)) in (0..).zip(texts.iter().zip(expected[case].as_array().unwrap())) {
            let expected: Vec<u64> = expected.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
            let found: Vec<u64> = ids(&train, row).into_iter().map(u64::from).collect();
            assert_eq!(found, expected, "{} of {}", text, tokenizer.display());
            assert_eq!(train.text(row), text.as_str());
        }
    }
}

#[test]
fn csv_jsonl_and_parquet_hold_the_same_dataset() {
    let rows = ["\"He said \"\"no\"\",\nthen left, ok\",train,0.5,0.5,0.49", "  null ,train,0,,", ",train,0.2,0.1,1"];
    let comments = Comments::new(&rows);
    let texts = ["He said \"no\",\nthen left, ok", "  null ", "", "the film", "bad film", "the film", "bad film"];
    let splits = ["train", "train", "train", "val", "val", "test", "test"];
    let toxicity = [0.5, 0.0, 0.2, 0.0, 1.0, 0.1, 0.9];
    let male = [Some(0.5), None, Some(0.1), None, Some(1.0), Some(0.2), Some(1.0)];
    let black = [Some(0.49), None, Some(1.0), None, None, Some(0.9), Some(1.0)];
    let mut lines = String::new();
    for i in 0..7 {
        let mut line = serde_json::json!({
            "comment_text": texts[i], "split": splits[i], "toxicity": toxicity[i], "black": black[i]
        });
        // Not annotated: null, or no key at all.
        if let Some(male) = male[i] {
            line["male"] = male.into();
        }
        lines += &format!("{line}\n");
    }
    comments.write("comments.jsonl", lines);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("comment_text", Arc::new(StringArray::from(texts.to_vec()))),
        ("split", Arc::new(StringArray::from(splits.to_vec()))),
        ("toxicity", Arc::new(Float64Array::from(toxicity.to_vec()))),
        ("male", Arc::new(Float64Array::from(male.to_vec()))),
        (
            "black",
            Arc::new(Float32Array::from(black.iter().map(|share| share.map(|share| share as f32)).collect::<Vec<_>>())),
        ),
    ];
    write_table(&comments.path("comments.parquet"), &columns);
    let seen = |dataset: &Dataset| {
        [&dataset.train, &dataset.validation, &dataset.test].map(|split| {
            let rows: Vec<(String, Vec<u32>)> =
                (0..split.len() as u32).map(|row| (split.text(row).unwrap().to_string(), ids(split, row))).collect();
            (rows, split.labels().to_vec(), split.groups().to_vec(), split.training_groups().to_vec())
        })
    };
    let csv = comments.open().unwrap();
    let jsonl = comments.edit("comments.csv", "comments.jsonl").open().unwrap();
    let parquet = comments.edit("comments.jsonl", "comments.parquet").open().unwrap();
    assert_eq!(seen(&csv), seen(&jsonl));
    assert_eq!(seen(&csv), seen(&parquet));
    assert_eq!(csv.notes, jsonl.notes);
    assert_eq!(csv.notes, parquet.notes);
    // Names in capitals are the same names.
    for (from, to) in [("comments.parquet", "LOUD.PARQUET"), ("comments.jsonl", "LOUD.JSONL")] {
        std::fs::rename(comments.path(from), comments.path(to)).unwrap();
    }
    let parquet = comments.edit("comments.parquet", "LOUD.PARQUET").open().unwrap();
    let jsonl = comments.edit("LOUD.PARQUET", "LOUD.JSONL").open().unwrap();
    assert_eq!((seen(&csv), seen(&csv)), (seen(&jsonl), seen(&parquet)));
}

#[test]
fn identities_as_truth_values_are_shares_of_nothing_and_all() {
    let comments = Comments::new(&[]);
    let words = |words: [&str; 4]| -> ArrayRef { Arc::new(StringArray::from(words.to_vec())) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("comment_text", words(["a", "b", "c", "d"])),
        ("split", words(["train", "train", "val", "test"])),
        ("toxicity", Arc::new(Float64Array::from(vec![0.0, 1.0, 0.0, 1.0]))),
        ("male", Arc::new(BooleanArray::from(vec![true, false, true, true]))),
        ("black", words(["False", "True", "0", "1"])),
    ];
    write_table(&comments.path("comments.parquet"), &columns);
    let train = comments.edit("comments.csv", "comments.parquet").open().unwrap().train;
    assert_eq!(rows_of(train.groups())[0], ("civil / male", [0].as_slice()));
    assert_eq!(rows_of(train.groups())[3], ("toxic / black", [1].as_slice()));
}

#[test]
fn a_batch_holds_one_text_after_the_other_and_no_padding() {
    let comments = Comments::new(&["a,train,0,,", "a b c,train,0,,", ",train,0,,"]);
    let train = comments.open().unwrap().train;
    let batch = train.batch(&[2, 1, 0], Augment::Random { seed: 1 }).unwrap();
    let Inputs::Tokens(tokens) = batch.inputs else { panic!("these are texts") };
    assert_eq!(tokens.lengths(), [2, 5, 3]);
    let ids = tokens.ids();
    assert_eq!(ids[..2], [CLS, SEP]);
    assert_eq!((ids[2], ids[6]), (CLS, SEP));
    assert_eq!((ids[7], ids[9]), (CLS, SEP));
    assert_eq!(tokens.positions(), [0, 1, 0, 1, 2, 3, 4, 0, 1, 2]);
    assert_eq!(tokens.segments(), [0; 10]);
    assert_eq!(batch.indices, [2, 1, 0]);
    assert_eq!((train.tokens(1), train.shape()), (Some(5), None));
    assert!(!train.augments());
}

#[test]
fn a_long_text_has_as_many_tokens_as_meant_and_ends_as_texts_end() {
    let long = format!("{},train,0,,", "film ".repeat(20_000));
    let comments = Comments::new(&[&long]);
    let dataset = comments.open().unwrap();
    let tokens = ids(&dataset.train, 0);
    assert_eq!((tokens.len(), tokens[0], tokens[299]), (300, CLS, SEP));
    let cut = "1 of 5 texts (20 %) are cut to 300 tokens, the longest has 20002; ";
    assert!(dataset.notes.iter().any(|note| note.starts_with(cut)), "{:?}", dataset.notes);
    // The user's length wins over the manifest's.
    let shorter = comments.open_with(&OpenOptions { max_length: Some(3), ..comments.options() }).unwrap();
    assert_eq!(ids(&shorter.train, 0).len(), 3);
}

#[test]
fn words_for_nothing_stay_words_and_empty_texts_are_kept_and_counted() {
    let rows = ["null,train,0,,", "NA,train,0,,", ",train,0,,", "   ,train,0,,", "🤷,train,0,,", "\"\n\",train,0,,"];
    let dataset = Comments::new(&rows).open().unwrap();
    let lengths: Vec<usize> = (0..6).map(|row| ids(&dataset.train, row).len()).collect();
    assert_eq!(lengths, [3, 3, 2, 2, 3, 2]);
    assert_eq!(dataset.train.text(3), Some("   "));
    let notes = &dataset.notes;
    assert!(notes.iter().any(|note| note.starts_with("3 of 10 texts are empty: they are kept")), "{notes:?}");
    assert!(
        notes.iter().any(|note| note.starts_with("1 of 10 texts have only tokens that the vocabulary does not")),
        "{notes:?}"
    );
}

#[test]
fn a_nul_byte_is_dropped_by_the_tokenizer_and_a_megabyte_is_a_text() {
    let megabyte = format!("{},train,0,,", "x".repeat(1 << 20));
    let dataset = Comments::new(&["film\0film,train,0,,", "filmfilm,train,0,,", &megabyte]).open().unwrap();
    assert_eq!(ids(&dataset.train, 0), ids(&dataset.train, 1));
    assert_eq!(ids(&dataset.train, 2), [CLS, 1, SEP], "one word that is too long to be looked up");
    assert_eq!(dataset.train.text(2).unwrap().len(), 1 << 20);
}

#[test]
fn a_second_start_takes_the_tokens_from_the_cache_and_another_tokenizer_length_or_text_does_not() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let comments = Comments::new(&["the film,train,0,,", "a day,train,0,,"]);
    let told = |length: usize| {
        TOLD.store(0, Ordering::Relaxed);
        let options = OpenOptions {
            max_length: Some(length),
            progress: Some(Progress::new(|done, _| TOLD.store(done, Ordering::Relaxed))),
            ..comments.options()
        };
        let tokens = ids(&comments.open_with(&options).unwrap().train, 0);
        (TOLD.load(Ordering::Relaxed), tokens)
    };
    let (first, tokens) = told(10);
    assert_eq!(first, 6, "all six are tokenised");
    assert_eq!(told(10), (0, tokens.clone()), "none is");
    assert_eq!(told(11).0, 6);
    comments.table(&["the film!,train,0,,", "a day,train,0,,"]);
    let (changed, other) = told(10);
    assert_eq!((changed, other.len()), (6, tokens.len() + 1));
    // A damaged file is made again.
    for file in std::fs::read_dir(comments.path("cache/.cnc-tokens")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 40;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(told(10), (6, other));
}

#[test]
fn a_limit_and_splits_by_fraction_keep_texts_with_their_rows() {
    let rows: Vec<String> = (0..40).map(|i| format!("film {i},train,{},,", i % 2)).collect();
    let comments = Comments::new(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    comments.edit("validation = { values = [\"val\"] }", "validation = { of = \"train\", fraction = 0.25 }");
    comments.edit("values = [\"test\"]", "values = [\"test\", \"val\"]");
    let dataset = comments.open_with(&OpenOptions { limit: Some(6), ..comments.options() }).unwrap();
    for split in [&dataset.train, &dataset.validation] {
        assert_eq!(split.len(), 6);
        for row in 0..6 {
            let number: u32 = split.text(row).unwrap().strip_prefix("film ").unwrap().parse().unwrap();
            assert_eq!(split.labels()[row as usize], number % 2);
            assert_eq!(ids(split, row).len(), if number < 10 { 4 } else { 5 }, "digits are pieces");
        }
    }
}

#[test]
fn without_a_tokenizer_texts_can_be_looked_at_and_there_are_no_batches() {
    let comments = Comments::new(&["the film,train,0,,"]);
    let dataset = comments.open_with(&OpenOptions { tokenizer: None, ..comments.options() }).unwrap();
    assert_eq!(dataset.train.text(0), Some("the film"));
    assert!(dataset.notes.iter().any(|note| note.contains("no tokenizer")), "{:?}", dataset.notes);
    let message = dataset.train.batch(&[0], Augment::None).unwrap_err().to_string();
    assert!(message.contains("tokenizer: is needed"), "{message}");
    assert!(dataset.train.picture(0).unwrap_err().to_string().contains("row 0, a text"));
}

#[test]
fn an_epoch_brings_texts_of_like_length_together_and_evaluation_takes_all_rows_once() {
    let rows: Vec<String> = (0..400).map(|i| format!("{},train,{},,", "film ".repeat(i * i % 97), i % 2)).collect();
    let comments = Comments::new(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let train = comments.open().unwrap().train;
    let order: Vec<u32> = (0..400).rev().collect();
    let epoch = train.epoch(order.clone(), 8, 5);
    assert_eq!(epoch, train.epoch(order.clone(), 8, 5));
    assert_ne!(epoch, train.epoch(order, 8, 6));
    let spread = |rows: &[u32]| {
        let lengths = rows.iter().map(|row| train.tokens(*row).unwrap());
        lengths.clone().max().unwrap() - lengths.min().unwrap()
    };
    assert!(epoch.chunks(8).all(|batch| spread(batch) <= 8), "{:?}", epoch.chunks(8).map(spread).max());
    let rows: Vec<u32> = (0..400).collect();
    let batches = train.evaluation_batches(&rows, 64);
    assert!(batches.iter().all(|batch| batch.len() <= 64));
    assert!(batches.concat().windows(2).all(|pair| train.tokens(pair[0] as u32) >= train.tokens(pair[1] as u32)));
    for mut rows in [epoch, batches.concat().into_iter().map(|place| place as u32).collect()] {
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..400));
    }
}
