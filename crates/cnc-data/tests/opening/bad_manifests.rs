//! What a manifest can get wrong: each is named with its key and a remedy.

use crate::common::Folder;

/// Opens the manifest with one piece replaced and wants every one of `parts` in the message.
fn refused(from: &str, to: &str, parts: &[&str]) {
    let message = Folder::new().edit(from, to).refusal();
    assert!(message.contains("dataset.toml"), "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

const CLASSES: &str = "names = [\"even\", \"odd\"]";
const VALIDATION: &str = "validation = { of = \"train\", fraction = 0.25 }";
const TEST: &str = "test = { files = [\"test.parquet\"] }";
const ATTRIBUTE: &str = "[attribute]\ncolumn = \"place\"\nnames = [\"land\", \"water\"]\n";
const COLOUR: &str = "[colour]\nnames = [\"red\", \"blue\"]\nrgb = [\"#ff0000\", \"#0000ff\"]\nthreshold = 120\nprobability = 0.9\nvalidation = \"every\"\ntest = \"uniform\"\n";

#[test]
fn an_unknown_key_is_answered_with_the_nearest() {
    refused("seed = 3", "sed = 3", &["line 4", "`sed`", "did you mean `seed`?"]);
    refused("column = \"label\"", "colum = \"label\"", &["`colum`", "did you mean `column`?"]);
    refused("fraction = 0.25", "fractoin = 0.25", &["did you mean `fraction`?"]);
}

#[test]
fn a_value_of_the_wrong_type_is_shown() {
    refused("seed = 3", "seed = \"three\"", &["line 4", "seed = \"three\"", "string", "u64"]);
    refused("fraction = 0.25", "fraction = \"a quarter\"", &["a quarter", "f64"]);
    refused(CLASSES, "names = [\"even\", \"odd\"]\nvalues = [0.5, 1]", &["class.values", "0.5", "whole number"]);
}

#[test]
fn a_missing_key_is_named() {
    refused("name = \"tiny\"\n", "", &["missing field `name`"]);
    refused("[input]\ncolumn = \"image\"\n", "", &["missing field `input`"]);
}

#[test]
fn another_kind_is_answered_with_the_kinds_that_exist() {
    refused("kind = \"image\"", "kind = \"imge\"", &["`imge`", "did you mean `image`?"]);
}

#[test]
fn a_name_that_cannot_name_a_folder_is_refused() {
    refused("name = \"tiny\"", "name = \"../tiny\"", &["name", "letters, digits"]);
}

#[test]
fn one_class_is_too_few() {
    refused(CLASSES, "names = [\"even\"]", &["class.names", "two classes"]);
}

#[test]
fn a_file_that_is_named_in_two_ways_is_read_once_or_not_at_all() {
    for other in ["./test.parquet", "*st.parquet"] {
        let files = format!("test = {{ files = [\"test.parquet\", \"{other}\"] }}");
        refused(TEST, &files, &["splits", &format!("{other:?} stands for"), "once more", "two places"]);
    }
}

#[test]
fn names_must_differ() {
    refused(CLASSES, "names = [\"even\", \"even\"]", &["class.names", "\"even\"", "twice"]);
}

#[test]
fn values_and_names_go_together() {
    refused(CLASSES, &format!("{CLASSES}\nvalues = [[0], [1], [2]]"), &["class.values", "3 entries for 2 names"]);
    refused(CLASSES, &format!("{CLASSES}\nvalues = [[0, 1], [1]]"), &["class.values", "1 stands twice"]);
    refused(CLASSES, &format!("{CLASSES}\nvalues = [[0, 1], []]"), &["class.values", "empty list"]);
}

#[test]
fn a_class_value_that_no_row_has_is_named_with_those_that_exist() {
    refused(
        CLASSES,
        &format!("{CLASSES}\nvalues = [[0], [1, 7]]"),
        &["class.values", "no row has 7", "\"odd\"", "0, 1"],
    );
    refused(CLASSES, "names = [\"even\", \"odd\", \"neither\"]", &["no row has 2", "\"neither\""]);
}

#[test]
fn a_split_says_in_exactly_one_way_what_is_in_it() {
    refused(TEST, "test = {}", &["splits.test", "exactly one of"]);
    refused(TEST, "test = { files = [\"test.parquet\"], fraction = 0.1 }", &["splits.test", "exactly one of"]);
    refused(TEST, "test = { values = [2] }", &["splits.test", "`column`"]);
    refused(TEST, "", &["missing field `test`"]);
}

#[test]
fn fractions_leave_something_and_are_not_taken_of_fractions() {
    refused(
        VALIDATION,
        "validation = { of = \"train\", fraction = 1.0 }",
        &["splits.validation.fraction", "between 0 and 1"],
    );
    refused(VALIDATION, "validation = { of = \"validation\", fraction = 0.5 }", &["splits.validation.of", "itself"]);
    refused(TEST, "test = { of = \"train\", fraction = 0.75 }", &["splits.test", "leave nothing"]);
    refused(TEST, "test = { of = \"validation\", fraction = 0.5 }", &["splits.test", "a fraction itself"]);
}

#[test]
fn a_split_without_rows_is_named() {
    let hundredth = "stratify = false\nvalidation = { of = \"train\", fraction = 0.01 }";
    refused(VALIDATION, hundredth, &["`validation`", "has no rows", "less than one row"]);
    refused(TEST, "test = { files = [] }", &["splits.test", "without rows"]);
}

#[test]
fn a_file_in_two_splits_is_refused() {
    refused("test.parquet", "train.parquet", &["train.parquet", "twice"]);
}

#[test]
fn a_number_of_rows_that_is_not_the_expected_one_is_said() {
    refused(
        "files = [\"test.parquet\"]",
        "files = [\"test.parquet\"], rows = 21",
        &["test                                    21        20  <-", "the numbers of rows are not the expected ones"],
    );
}

#[test]
fn a_repository_and_a_revision_stay_inside_the_cache() {
    let hub = |hub, revision| format!("[source]\nhub = \"{hub}\"\nrevision = \"{revision}\"\n\n[input]");
    refused("[input]", &hub("mnist", "main"), &["source.hub", "owner/name"]);
    refused("[input]", &hub("../../x", "main"), &["source.hub"]);
    refused("[input]", &hub("a/b", "../../main"), &["source.revision", "without `..`"]);
    let folder = Folder::new();
    folder.edit("[input]", &hub("a/b", "main")).edit("\"train.parquet\"", "\"../../train.parquet\"");
    assert!(folder.refusal().contains("plain relative path"), "{}", folder.refusal());
}

#[test]
fn a_colouring_is_checked() {
    let with_colour = |from: &str, to: &str, parts: &[&str]| {
        refused(ATTRIBUTE, &COLOUR.replacen(from, to, 1), parts);
    };
    with_colour("#0000ff", "blue", &["colour.rgb", "#rrggbb"]);
    with_colour("probability = 0.9", "probability = 1.5", &["colour.probability", "between 0 and 1"]);
    with_colour("names = [\"red\", \"blue\"]", "names = [\"red\"]", &["colour.names", "1 colours for 2 classes"]);
    with_colour("\"every\"", "\"evry\"", &["`evry`", "did you mean `every`?"]);
    with_colour("threshold = 120", "threshold = 300", &["threshold", "300"]);
    refused(ATTRIBUTE, &format!("{ATTRIBUTE}\n{COLOUR}"), &["colour", "remove one"]);
}

#[test]
fn a_transform_is_checked() {
    let with_transform = |text: &str, parts: &[&str]| {
        refused("[splits]", &format!("[transform]\n{text}\n\n[splits]"), parts);
    };
    with_transform("resize = 0", &["transform.resize"]);
    with_transform("resize = 30\ncrop = 32", &["transform.crop", "larger"]);
    with_transform("crop = 9", &["transform.crop", "9 is larger than the images, which are 8 x 8"]);
    with_transform("std = [0.5, 0.0, 0.5]", &["transform.std"]);
    with_transform("mean = [nan, 0.0, 0.0]", &["transform.mean"]);
    with_transform("mean = [0.5, 0.5]", &["mean", "3"]);
}
