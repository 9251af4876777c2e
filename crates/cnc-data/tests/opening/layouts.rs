//! The built-in datasets of pictures in the layout of their authors, and parquet in several files.

use std::fs;
use std::path::Path;

use cnc_data::{Dataset, HubCache, Manifest, OpenOptions, Remedy, SplitName};
use tempfile::TempDir;

use crate::common::{Folder, png, rows};

fn wants(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

fn options(folder: &Path, allow_count_mismatch: bool) -> OpenOptions {
    OpenOptions {
        hub: HubCache::new(folder.join("cache")),
        allow_count_mismatch,
        limit: Some(100),
        ..OpenOptions::default()
    }
}

fn open(name: &str, folder: &Path) -> Result<Dataset, String> {
    let manifest = Manifest::open(name).unwrap().in_folder(folder).map_err(|e| e.to_string())?;
    Dataset::open(&manifest, &options(folder, true)).map_err(|e| e.to_string())
}

/// Eight faces: hair and sex of the i-th are bits 0 and 1 of i; three parts.
fn faces(images: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(images)).unwrap();
    for i in 0..12_u8 {
        fs::write(
            folder.path().join(images).join(format!("{:06}.jpg", i + 1)),
            png(18, 22, |x, y| [i * 9, x as u8, y as u8]),
        )
        .unwrap();
    }
    folder
}

/// The two lists in a form.
fn lists(folder: &Path, separator: &str, head: &str, names: [&str; 2], partition_head: &str) {
    let sign = |bit: u8| if bit == 1 { " 1" } else { "-1" };
    let mut attributes = head.to_string();
    let mut partition = partition_head.to_string();
    for i in 0..12_u8 {
        let row = [format!("{:06}.jpg", i + 1), sign(i & 1).into(), "-1".into(), sign(i >> 1 & 1).into()];
        attributes += &(row.join(separator) + "\n");
        partition += &format!("{:06}.jpg{separator}{}\n", i + 1, i / 4);
    }
    fs::write(folder.join(names[0]), attributes).unwrap();
    fs::write(folder.join(names[1]), partition).unwrap();
}

const TEXT: [&str; 2] = ["list_attr_celeba.txt", "list_eval_partition.txt"];
const CSV: [&str; 2] = ["list_attr_celeba.csv", "list_eval_partition.csv"];

#[test]
fn celeba_is_read_in_every_form_that_its_lists_circulate_in() {
    for (separator, head, names, partition, images) in [
        (" ", "12\nBlond_Hair Smiling Male\n", TEXT, "", "img_align_celeba"),
        (" ", "Blond_Hair Smiling Male\n", TEXT, "", "img_align_celeba"),
        (",", "image_id,Blond_Hair,Smiling,Male\n", CSV, "image_id,partition\n", "img_align_celeba/img_align_celeba"),
    ] {
        let folder = faces(images);
        lists(folder.path(), separator, head, names, partition);
        let dataset = open("celeba", folder.path()).unwrap();
        assert_eq!(dataset.train.labels(), [0, 1, 0, 1]);
        assert_eq!(dataset.train.attributes(), [0, 0, 1, 1]);
        assert_eq!((dataset.validation.len(), dataset.test.len()), (4, 4));
        assert_eq!(dataset.train.shape(), Some((3, 224, 224)));
        assert_eq!(dataset.test.picture(0).unwrap().pixels[0], 8 * 9);
    }
}

#[test]
fn what_is_wrong_with_celebas_lists_is_named() {
    let refusal = |from: &str, to: &str, list: usize| {
        let folder = faces("img_align_celeba");
        lists(folder.path(), " ", "12\nBlond_Hair Smiling Male\n", TEXT, "");
        let path = folder.path().join(TEXT[list]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        open("celeba", folder.path()).unwrap_err()
    };
    wants(&refusal("000006.jpg  1", "000006.jpg  2", 0), &["line 8", "`Blond_Hair`", "2 is none of", "-1, 1"]);
    wants(
        &refusal("000006.jpg 1", "000006.jpg 3", 1),
        &["list_eval_partition.txt: line 6", "`partition`", "3 belongs to no split"],
    );
    wants(&refusal("000006.jpg 1\n", "", 1), &["line 8", "000006.jpg is not in list_eval_partition.txt"]);
    wants(&refusal("000006.jpg 1", "000005.jpg 1", 1), &["line 6", "000005.jpg stands in line 5 too"]);
    wants(&refusal("12\n", "13\n", 0), &["13 rows, but has 12"]);
    wants(&refusal("Blond_Hair", "Blond", 0), &["no column `Blond_Hair`", "image_id, Blond"]);
}

#[test]
fn other_numbers_than_the_expected_ones_are_shown_beside_them() {
    let folder = faces("img_align_celeba");
    lists(folder.path(), " ", "12\nBlond_Hair Smiling Male\n", TEXT, "");
    let manifest = Manifest::open("celeba").unwrap().in_folder(folder.path()).unwrap();
    let error = Dataset::open(&manifest, &options(folder.path(), false)).unwrap_err();
    wants(
        &error.to_string(),
        &["expected     found", "162770         4  <-", "blond / male", "1387         1  <-", "19962         4  <-"],
    );
    assert_eq!(error.remedy(), Some(Remedy::AllowCountMismatch));
    let dataset = Dataset::open(&manifest, &options(folder.path(), true)).unwrap();
    wants(&dataset.notes[0], &["162770         4  <-"]);
}

#[test]
fn a_folder_with_neither_layout_is_answered_with_what_would_have_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let message = open("waterbirds", folder.path()).unwrap_err();
    wants(&message, &["metadata.csv", "data/train-*"]);
    let message = open("waterbirds", &folder.path().join("none")).unwrap_err();
    wants(&message, &["none", "is not a folder"]);
}

#[test]
fn the_hubs_own_files_in_a_folder_are_read_too() {
    let source = Folder::new();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["train", "validation", "test"] {
        fs::copy(source.path("train.parquet"), folder.path().join(format!("data/{name}-00000-of-00001.parquet")))
            .unwrap();
    }
    let dataset = open("waterbirds", folder.path()).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len() + dataset.test.len(), 120);
    assert_eq!(dataset.train.name(), SplitName::Train);
}

#[test]
fn files_in_parts_are_joined_in_order_and_a_missing_part_is_named() {
    let folder = Folder::new();
    let whole = folder.open().unwrap();
    folder.table("train-00000-of-00002.parquet", &rows(40)).table("train-00001-of-00002.parquet", &rows(20));
    folder.edit("\"train.parquet\"", "\"train-*.parquet\"");
    let parts = folder.open().unwrap();
    assert_eq!(parts.train.len() + parts.validation.len(), 60);
    assert_eq!(whole.test.labels(), parts.test.labels());
    fs::rename(folder.path("train-00001-of-00002.parquet"), folder.path("train-00002-of-00003.parquet")).unwrap();
    fs::rename(folder.path("train-00000-of-00002.parquet"), folder.path("train-00000-of-00003.parquet")).unwrap();
    wants(&folder.refusal(), &["train-00000-of-00003.parquet", "missing: 1"]);
}

#[test]
fn parquet_on_demand_is_parquet_in_memory_and_is_unpacked_once() {
    let folder = Folder::new();
    folder.edit("[splits]", "[transform]\nresize = 8\n\n[splits]");
    let kept = folder.open().unwrap();
    let packs = || {
        let mut packs: Vec<_> =
            fs::read_dir(folder.path("cache/.cnc-images")).unwrap().map(|e| e.unwrap().path()).collect();
        packs.sort();
        packs
    };
    let on_demand = folder.open_on_demand().unwrap();
    for (kept, on_demand) in [(&kept.train, &on_demand.train), (&kept.test, &on_demand.test)] {
        for row in 0..kept.len() as u32 {
            assert_eq!(kept.picture(row).unwrap(), on_demand.picture(row).unwrap());
        }
    }
    let first = packs();
    assert_eq!(first.len(), 2, "one pack a file: {first:?}");
    let made = first[0].metadata().unwrap().modified().unwrap();
    folder.open_on_demand().unwrap();
    assert_eq!((packs(), first[0].metadata().unwrap().modified().unwrap()), (first.clone(), made));
    // A pack that lost its end is made again, and a changed file has another pack.
    let length = first[0].metadata().unwrap().len();
    fs::File::options().write(true).open(&first[0]).unwrap().set_len(length / 2).unwrap();
    folder.open_on_demand().unwrap();
    assert_eq!(first[0].metadata().unwrap().len(), length);
    folder.table("test.parquet", &rows(21));
    folder.open_on_demand().unwrap();
    assert_eq!(packs().len(), 3);
}

#[test]
fn a_bad_image_in_parquet_on_demand_is_named_with_its_row_when_the_dataset_opens() {
    let whole = png(8, 8, |x, y| [(x * y) as u8; 3]);
    for (bad, part) in [
        (Some(whole[..whole.len() * 6 / 10].to_vec()), "does not decode"),
        (Some(b"<html>".to_vec()), "not a JPEG, PNG, WebP, GIF, BMP or TIFF"),
        (None, "is null"),
    ] {
        let folder = Folder::new();
        folder.edit("[splits]", "[transform]\nresize = 8\n\n[splits]");
        let column = crate::common::images((0..40).map(|i| if i == 29 { bad.clone() } else { Some(whole.clone()) }));
        folder.table("train.parquet", &crate::common::with(rows(40), "image", column));
        let message = folder.open_on_demand().unwrap_err().to_string();
        wants(&message, &["train.parquet", "row 29", "`image`", part]);
    }
}
