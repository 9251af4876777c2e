//! What the files behind a manifest can get wrong: each is named with file, row and column.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array};
use cnc_data::Remedy;
use cnc_data::table::DataFile;
use cnc_data::table::parquet::ParquetFile;

use crate::common::{Folder, images, labels, png, rows, with};

fn wants(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// Opens the folder with another column in `train.parquet`.
fn refused(column: &str, array: ArrayRef, parts: &[&str]) {
    let folder = Folder::new();
    folder.table("train.parquet", &with(rows(40), column, array));
    wants(&folder.refusal(), parts);
}

#[test]
fn a_missing_column_is_answered_with_those_that_exist() {
    let folder = Folder::new();
    folder.edit("column = \"label\"", "column = \"lable\"");
    wants(&folder.refusal(), &["train.parquet", "no column `lable`", "image, label, place"]);
    let folder = Folder::new();
    folder.edit("column = \"image\"", "column = \"picture\"");
    wants(&folder.refusal(), &["train.parquet", "no column `picture`"]);
}

#[test]
fn a_null_label_is_named_with_its_row() {
    let column = labels((0..40).map(|i| (i != 33).then_some(i % 2)));
    refused("label", column, &["train.parquet", "row 33", "`label`", "null"]);
}

#[test]
fn a_null_in_a_dictionary_is_a_null() {
    let column = (0..40).map(|i| (i != 21).then_some(if i % 2 == 0 { "even" } else { "odd" }));
    refused("label", Arc::new(column.collect::<DictionaryArray<Int32Type>>()), &["row 21", "null"]);
    let empty: DictionaryArray<Int32Type> = std::iter::repeat_n(None::<&str>, 40).collect();
    refused("label", Arc::new(empty), &["row 0", "null"]);
}

#[test]
fn a_null_attribute_is_named_with_its_row() {
    refused("place", labels((0..40).map(|i| (i != 7).then_some(0))), &["row 7", "`place`", "null"]);
}

#[test]
fn a_label_out_of_range_is_named_with_its_row_and_the_values_that_are_known() {
    let column = labels((0..40).map(|i| Some(if i == 25 { 2 } else { i % 2 })));
    refused("label", column, &["train.parquet", "row 25", "2 is none of", "class.values: 0, 1"]);
}

#[test]
fn an_unknown_attribute_is_named_with_its_row() {
    let column = labels((0..40).map(|i| Some(if i == 39 { -2 } else { 0 })));
    refused("place", column, &["row 39", "`place`", "-2", "attribute.values"]);
}

#[test]
fn a_label_with_a_fraction_is_not_rounded() {
    let column = Float64Array::from_iter_values((0..40).map(|i| if i == 3 { 0.5 } else { 1.0 }));
    refused("label", Arc::new(column), &["row 3", "0.5 is not a whole number"]);
}

#[test]
fn a_column_of_another_kind_is_named() {
    refused("label", images((0..40).map(|_| None)), &["`label` holds", "expected whole numbers or text"]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
    refused("image", numbers, &["`image` holds INT64", "expected images"]);
}

#[test]
fn a_test_split_with_hidden_labels_says_so() {
    let folder = Folder::new();
    folder.table("test.parquet", &with(rows(20), "label", labels((0..20).map(|_| Some(-1)))));
    wants(&folder.refusal(), &["dataset.toml", "`test` has no labels", "all of its 20 rows"]);
    // One hidden label among others is a mistake in that row.
    folder.table("test.parquet", &with(rows(20), "label", labels((0..20).map(|i| Some(if i == 4 { -1 } else { 0 })))));
    wants(&folder.refusal(), &["test.parquet", "row 4", "-1 is none of"]);
}

#[test]
fn a_value_of_the_splits_column_that_no_split_takes_is_named_with_its_row() {
    let folder = Folder::new();
    let mut columns = rows(40);
    columns.push(("part", labels((0..40).map(|i| Some(if i == 30 { 9 } else { i % 3 })))));
    folder.table("all.parquet", &columns);
    folder.edit(
        "train = { files = [\"train.parquet\"] }",
        "column = \"part\"\nfiles = [\"all.parquet\"]\ntrain = { values = [0] }",
    );
    folder.edit("validation = { of = \"train\", fraction = 0.25 }", "validation = { values = [1] }");
    folder.edit("test = { files = [\"test.parquet\"] }", "test = { values = [2] }");
    wants(&folder.refusal(), &["all.parquet", "row 30", "`part`", "9 belongs to no split"]);
    folder.edit("values = [2]", "values = [2, 9]").open().unwrap();
    folder.edit("values = [2, 9]", "values = [5]");
    folder.edit("values = [1]", "values = [1, 2, 9]");
    wants(&folder.refusal(), &["`test` has no rows", "holds 5"]);
}

#[test]
fn an_image_that_does_not_decode_is_named_with_its_row() {
    let whole = png(8, 8, |x, y| [(x * y) as u8; 3]);
    for (bad, part) in [
        (whole[..whole.len() * 6 / 10].to_vec(), "does not decode"),
        (b"<html>quota exceeded</html>".to_vec(), "not a JPEG, PNG, WebP, GIF, BMP or TIFF"),
        (Vec::new(), "is empty"),
    ] {
        let column = images((0..40).map(|i| Some(if i == 29 { bad.clone() } else { whole.clone() })));
        refused("image", column, &["train.parquet", "row 29", "`image`", part]);
    }
    let column = images((0..40).map(|i| (i != 2).then(|| whole.clone())));
    refused("image", column, &["row 2", "null"]);
}

#[test]
fn a_bad_image_in_the_test_split_is_found_when_the_dataset_opens() {
    let folder = Folder::new();
    let column = images((0..20).map(|i| Some(if i == 19 { vec![1, 2, 3] } else { png(8, 8, |_, _| [0; 3]) })));
    folder.table("test.parquet", &with(rows(20), "image", column));
    wants(&folder.refusal(), &["test.parquet", "row 19"]);
}

#[test]
fn rows_of_all_splits_are_checked_before_any_image_is_decoded() {
    let folder = Folder::new();
    folder.table("train.parquet", &with(rows(40), "image", images((0..40).map(|_| Some(vec![1, 2, 3])))));
    let column = labels((0..20).map(|i| Some(if i == 19 { 7 } else { i % 2 })));
    folder.table("test.parquet", &with(rows(20), "label", column));
    wants(&folder.refusal(), &["test.parquet", "row 19", "`label`", "7 is none of"]);
}

#[test]
fn images_of_two_sizes_need_a_resize() {
    let folder = Folder::new();
    let column = images((0..40_u32).map(|i| Some(png(if i == 5 { 9 } else { 8 }, 8, |_, _| [0; 3]))));
    folder.table("train.parquet", &with(rows(40), "image", column));
    wants(&folder.refusal(), &["train.parquet", "row 5", "9 x 8", "`resize`"]);
    folder.edit("[splits]", "[transform]\nresize = 8\n\n[splits]").open().unwrap();
}

#[test]
fn a_file_cut_short_is_refused_at_every_length() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.path("train.parquet")).unwrap();
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(folder.path("train.parquet"), &whole[..length]).unwrap();
        wants(&folder.refusal(), &["train.parquet", &format!("({length} bytes"), "copy it again"]);
    }
}

#[test]
fn damage_inside_a_file_never_passes_as_another_error_than_one_of_that_file() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.path("train.parquet")).unwrap();
    for at in (4..whole.len()).step_by(41) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        std::fs::write(folder.path("train.parquet"), &damaged).unwrap();
        // Damage may hit what nobody reads; where it is noticed, the file is named.
        if let Err(error) = folder.open() {
            wants(&error.to_string(), &["train.parquet"]);
        }
    }
}

/// Found by fuzzing: the page that holds the dictionary is gone, the page that refers to it is there.
#[test]
fn a_page_without_its_dictionary_is_damage() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/no_dictionary.parquet");
    let message = ParquetFile::open(DataFile::local(path)).unwrap().cells("label").unwrap_err().to_string();
    wants(&message, &["no_dictionary.parquet", "damaged", "dict", "copy it again"]);
}

#[test]
fn a_foreign_file_is_called_foreign() {
    let folder = Folder::new();
    std::fs::write(folder.path("train.parquet"), "<!DOCTYPE html><html>not found</html>").unwrap();
    wants(&folder.refusal(), &["train.parquet", "not a parquet file", "37 bytes"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    std::fs::remove_file(folder.path("test.parquet")).unwrap();
    wants(&folder.refusal(), &["test.parquet", "cannot be opened", "correct the path in the manifest"]);
}

#[test]
fn a_truncated_file_of_the_hub_is_answered_with_what_brings_it_again() {
    let folder = Folder::new();
    folder.edit("[input]", "[source]\nhub = \"owner/name\"\nrevision = \"main\"\n\n[input]");
    let repository = folder.path("cache/datasets--owner--name");
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), "abc").unwrap();
    let snapshot = repository.join("snapshots/abc");
    std::fs::create_dir_all(&snapshot).unwrap();
    for name in ["train.parquet", "test.parquet"] {
        std::fs::copy(folder.path(name), snapshot.join(name)).unwrap();
    }
    folder.open().unwrap();
    let whole = std::fs::read(snapshot.join("train.parquet")).unwrap();
    std::fs::write(snapshot.join("train.parquet"), &whole[..whole.len() / 2]).unwrap();
    wants(&folder.refusal(), &["train.parquet", "cut short", "fetch it again"]);
    let dataset = folder.path("dataset.toml").display().to_string();
    assert_eq!(folder.open().unwrap_err().remedy(), Some(Remedy::Fetch { dataset, again: true }));
}
