//! Everything that can be wrong with a dataset of texts.

use cnc_data::{OpenOptions, Remedy};

use crate::common::comments::{Comments, HEADER, tokenizer};

fn wants(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn a_share_that_is_none_is_named_with_its_row() {
    let cases = [
        ("a,train,1.2,,", "line 3: column `toxicity`: 1.2 is not a share in [0, 1]"),
        ("a,train,-0.1,,", "line 3: column `toxicity`: -0.1 is not a share"),
        ("a,train,inf,,", "line 3: column `toxicity`: inf is not a share"),
        ("a,train,nan,,", "line 3: column `toxicity`: \"nan\" is not a number"),
        ("a,train,very,,", "line 3: column `toxicity`: \"very\" is not a number"),
        ("a,train,,,", "line 3: column `toxicity`: is empty; every row needs a share"),
        ("a,train,0,1.5,", "line 3: column `male`: 1.5 is not a share"),
        ("a,train,0,,some", "line 3: column `black`: \"some\" is not a number"),
        ("a,later,0,,", "line 3: column `split`: \"later\" belongs to no split"),
    ];
    for (row, expected) in cases {
        wants(&Comments::new(&["ok,train,0,0,0", row]).refusal(), &["comments.csv", expected]);
    }
}

#[test]
fn an_identity_column_that_is_not_there_is_answered_with_those_that_are() {
    let comments = Comments::new(&["a,train,0,,"]);
    comments.edit("\"black\"]", "\"white\"]");
    wants(&comments.refusal(), &["no column `white`", "comment_text, split, toxicity, male, black"]);
}

#[test]
fn latin_1_is_named_with_the_first_byte_that_is_no_utf_8_and_utf_16_is_read() {
    let comments = Comments::new(&[]);
    let table = format!("{HEADER}\n0,1,ok,train,0,,\n1,2,caf\u{e9},train,0,,\n");
    let latin: Vec<u8> = table.chars().map(|c| c as u8).collect();
    let place = latin.iter().position(|byte| *byte == 0xe9).unwrap();
    comments.write("comments.csv", latin);
    wants(&comments.refusal(), &[&format!("line 3 is not UTF-8 text (byte {place} of the file"), "iconv -f latin1"]);
    let wide: Vec<u8> = [0xfeff].into_iter().chain(table.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    comments.write("comments.csv", wide);
    // What is missing now is a row of the other splits.
    wants(&comments.refusal(), &["split `validation` has no rows"]);
}

#[test]
fn a_byte_order_mark_and_either_line_ending_change_nothing() {
    let comments = Comments::new(&[]);
    let rows = ["0,1,ok,train,0,,", "1,2,the film,val,1,1,", "2,3,bad,test,0,,1"];
    for header in
        [HEADER.to_string(), "\"\",\"id\",\"comment_text\",\"split\",\"toxicity\",\"male\",\"black\"".to_string()]
    {
        comments.write("comments.csv", format!("\u{feff}{header}\r\n{}\r\n", rows.join("\r\n")));
        let dataset = comments.open().unwrap();
        assert_eq!(dataset.validation.text(0), Some("the film"));
        assert_eq!(dataset.test.groups()[1].rows, [0]);
    }
    comments.edit("column = \"comment_text\"", "column = \"id\"");
    comments.write(
        "comments.csv",
        "\u{feff}\"id\",split,toxicity,male,black\r\nok,train,0,,\r\nok,val,1,,\r\nok,test,0,,\r\n",
    );
    assert_eq!(comments.open().unwrap().train.text(0), Some("ok"));
}

#[test]
fn a_length_that_is_too_short_or_too_long_for_the_model_is_refused_before_anything_is_read() {
    let comments = Comments::new(&["a,train,0,,"]);
    std::fs::remove_file(comments.path("comments.csv")).unwrap();
    let model = tempfile::tempdir().unwrap();
    std::fs::copy(tokenizer("vocab.txt"), model.path().join("vocab.txt")).unwrap();
    std::fs::write(
        model.path().join("config.json"),
        r#"{"model_type": "bert", "max_position_embeddings": 512, "vocab_size": 30522}"#,
    )
    .unwrap();
    let refusal = |length| {
        let tokenizer = Some(model.path().to_path_buf());
        let options = OpenOptions { max_length: Some(length), tokenizer, ..comments.options() };
        comments.open_with(&options).unwrap_err().to_string()
    };
    for length in [0, 1, 2] {
        wants(&refusal(length), &["max_length", &format!("{length} is too short: at least 3 tokens")]);
    }
    wants(&refusal(513), &["max_length: 513 is too long: the model takes 512 tokens", "config.json"]);
    wants(&refusal(512), &["comments.csv"]);
    for length in ["0", "2"] {
        comments.edit("max_length = ", &format!("max_length = {length} # "));
        wants(&comments.refusal(), &["dataset.toml: input.max_length", "too short"]);
    }
}

#[test]
fn a_vocabulary_that_the_model_does_not_embed_is_refused() {
    let comments = Comments::new(&["a,train,0,,"]);
    let model = tempfile::tempdir().unwrap();
    std::fs::copy(tokenizer("tokenizer.json"), model.path().join("tokenizer.json")).unwrap();
    std::fs::write(model.path().join("config.json"), r#"{"vocab_size": 50}"#).unwrap();
    let options = || OpenOptions { tokenizer: Some(model.path().to_path_buf()), ..comments.options() };
    let message = comments.open_with(&options()).unwrap_err().to_string();
    wants(&message, &["tokenizer.json", "of which the model embeds 50", "belongs to another model"]);
    std::fs::write(model.path().join("config.json"), "<html>").unwrap();
    wants(&comments.open_with(&options()).unwrap_err().to_string(), &["config.json", "is not the configuration"]);
}

/// A tokenizer of byte pairs, with two tokens besides those that begin and end a text.
const BYTE_PAIRS: &str = r###"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 0]},
    "decoder": null, "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "vocab": {"[CLS]": 0, "[SEP]": 1, "a": 2, "b": 3}, "merges": []}}"###;

#[test]
fn a_tokenizer_of_another_model_is_doubted_and_one_of_another_kind_refused_for_bert() {
    let comments = Comments::new(&["a,train,0,,", "b,train,1,,", "a,val,0,,", "a,test,1,,"]);
    let model = tempfile::tempdir().unwrap();
    let open = |tokens: &str, config: &str| {
        std::fs::write(model.path().join("tokenizer.json"), tokens).unwrap();
        std::fs::write(model.path().join("config.json"), config).unwrap();
        comments.open_with(&OpenOptions { tokenizer: Some(model.path().to_path_buf()), ..comments.options() })
    };
    let of_bert = |size: usize| format!(r#"{{"model_type": "bert", "vocab_size": {size}}}"#);
    let own = std::fs::read_to_string(tokenizer("tokenizer.json")).unwrap();
    let notes = open(&own, &of_bert(60_000)).unwrap().notes.join("\n");
    wants(&notes, &["warning: ", "(WordPiece), and the model embeds 60000", "does it belong to this model?"]);
    let refusal = open(BYTE_PAIRS, &of_bert(30_522)).unwrap_err().to_string();
    wants(&refusal, &["tokenizer.json", "has 4 tokens (BPE)", "belongs to another model", "WordPiece"]);
    // Checkpoints are padded to round sizes.
    let notes = open(BYTE_PAIRS, &of_bert(64)).unwrap().notes.join("\n");
    assert!(!notes.contains("does it belong"), "{notes}");
}

#[test]
fn a_tokenizer_that_is_missing_or_damaged_is_named() {
    let comments = Comments::new(&["a,train,0,,"]);
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str| {
        let options = OpenOptions { tokenizer: Some(folder.path().join(name)), ..comments.options() };
        comments.open_with(&options).unwrap_err().to_string()
    };
    wants(&refusal(""), &["has no tokenizer: neither tokenizer.json nor vocab.txt"]);
    wants(&refusal("tokenizer.json"), &["tokenizer.json: cannot be read"]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let good = std::fs::read_to_string(tokenizer("tokenizer.json")).unwrap();
    for text in ["", "{", "<html></html>", "{}", &good[..good.len() / 2]] {
        write("tokenizer.json", text);
        wants(&refusal("tokenizer.json"), &["tokenizer.json: is not a tokenizer that can be read"]);
    }
    // Without [CLS] and [SEP] an empty text would have no token.
    let mut bare: serde_json::Value = serde_json::from_str(&good).unwrap();
    bare["post_processor"] = serde_json::Value::Null;
    write("tokenizer.json", &bare.to_string());
    wants(&refusal("tokenizer.json"), &["adds nothing to a text"]);
    write("vocab.txt", "[PAD]\n[UNK]\nthe\n");
    wants(&refusal("vocab.txt"), &["vocab.txt: has no [MASK]", "no vocabulary of BERT"]);
    std::fs::copy(tokenizer("vocab.txt"), folder.path().join("vocab.txt")).unwrap();
    write("tokenizer_config.json", "{\"do_lower_case\": \"no\"}");
    wants(&refusal("vocab.txt"), &["tokenizer_config.json", "do_lower_case is \"no\"; true or false is needed"]);
    write("tokenizer_config.json", "[]");
    wants(&refusal("vocab.txt"), &["tokenizer_config.json: is not the configuration of a tokenizer"]);
}

#[test]
fn settings_of_images_and_of_texts_do_not_mix() {
    let cases = [
        ("[splits]", "[transform]\nresize = 8\n[splits]", "transform: is of images"),
        ("max_length = 300", "folder = \"x\"", "input.folder: is of images"),
        ("kind = \"text\"", "kind = \"image\"", "input.max_length: is of texts"),
        ("[splits]", "[join]\nfile = \"other.csv\"\n[splits]", "join: is of images"),
        ("threshold = 0.5\n\n", "threshold = 0.0\n\n", "class.threshold: 0: the column holds shares"),
        ("threshold = 0.5\n\n", "threshold = 1.5\n\n", "class.threshold: 1.5: the column holds shares"),
        ("threshold = 0.5\n\n", "threshold = 0.5\nvalues = [0, 1]\n\n", "by `values` or by a `threshold`"),
        (
            "[\"civil\", \"toxic\"]",
            "[\"civil\", \"rude\", \"toxic\"]",
            "class.threshold: tells two names apart, and there are 3",
        ),
        ("threshold = 0.5\nnone", "threshold = [0.5]\nnone", "attributes.threshold: 1 entries for 2 columns"),
        ("threshold = 0.5\nnone", "threshold = \"half\"\nnone", "attributes.threshold: \"half\" is not a number"),
        ("threshold = 0.5\nnone", "names = [\"men\"]\nthreshold = 0.5\nnone", "attributes.names: 1 entries for 2"),
        ("[\"male\", \"black\"]", "[\"male\", \"male\"]", "attributes.columns: \"male\" is empty or stands twice"),
        ("any = \"any identity\"", "any = \"no identity\"", "attributes.any: \"no identity\" is empty or stands twice"),
        ("[splits]", "[attribute]\ncolumn = \"male\"\nnames = [\"a\", \"b\"]\n[splits]", "remove one of them"),
        (
            "train = { values = [\"train\"] }",
            "train = { values = [\"train\"], groups = [1, 2] }",
            "splits.train.groups: 2 numbers for 4 groups",
        ),
        ("max_length = 300", "max_lenght = 300", "did you mean `max_length`?"),
    ];
    for (from, to, expected) in cases {
        let comments = Comments::new(&["a,train,0,,"]);
        comments.edit(from, to);
        wants(&comments.refusal(), &["dataset.toml", expected]);
    }
}

#[test]
fn a_class_that_no_row_reaches_is_an_error_and_wrong_numbers_of_overlapping_groups_are_shown() {
    let comments = Comments::new(&["a,train,0.1,0.9,0.9"]);
    comments.edit("threshold = 0.5\n\n", "threshold = 1.0\n\n");
    comments.write("comments.csv", format!("{HEADER}\n0,1,a,train,0.9,,\n1,2,b,val,0.9,,\n2,3,c,test,0.9,,\n"));
    wants(&comments.refusal(), &["class.threshold", "no row is of class \"toxic\" by its `toxicity`"]);

    let comments = Comments::new(&["a,train,0.1,0.9,0.9", "b,train,0,,"]);
    comments
        .edit("train = { values = [\"train\"] }", "train = { values = [\"train\"], rows = 2, groups = [1, 1, 0, 0] }");
    comments.open().unwrap();
    comments.edit("groups = [1, 1, 0, 0]", "groups = [1, 0, 0, 0]");
    wants(&comments.refusal(), &["civil / black"]);
    assert_eq!(comments.open().unwrap_err().remedy(), Some(Remedy::AllowCountMismatch));
}
