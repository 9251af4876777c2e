//! One table written in many ways: the same rows, or a refusal that names what is wrong.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, UInt8Array,
};
use cnc_data::{Dataset, HubCache, Manifest, OpenOptions, Split};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::common::png;

const ROWS: usize = 16;

/// Class, place and split of a row.
fn row(i: usize) -> [usize; 3] {
    [i % 2, i / 2 % 2, [0, 0, 1, 2][i / 4]]
}

/// A folder with 16 images, `0.png` to `15.png`, for one table.
struct Pictures(TempDir);

impl Pictures {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..ROWS {
            fs::write(folder.path().join(format!("{i}.png")), png(4, 4, |_, _| [i as u8; 3])).unwrap();
        }
        Self(folder)
    }

    /// What the dataset holds with the table of this name; `names` of classes, and further lines of the class's section.
    fn open(&self, table: &str, names: &str, more: &str) -> Result<Vec<[Vec<u32>; 2]>, String> {
        let manifest = format!(
            "name = \"d\"\nkind = \"image\"\ninput = {{ column = \"file\" }}\n[class]\ncolumn = \"y\"\nnames = {names}\n{more}\n\
             [attribute]\ncolumn = \"place\"\nnames = [\"land\", \"sea\"]\n[splits]\ncolumn = \"split\"\nfiles = [\"{table}\"]\n\
             train = {{ values = [0] }}\nvalidation = {{ values = [1] }}\ntest = {{ values = [2] }}\n"
        );
        let manifest = Manifest::parse(&manifest, self.0.path()).map_err(|e| e.to_string())?;
        let options = OpenOptions { hub: HubCache::new(self.0.path().join("cache")), ..OpenOptions::default() };
        let dataset = Dataset::open(&manifest, &options).map_err(|e| e.to_string())?;
        let of =
            |split: &Split| [split.labels().to_vec(), split.groups().iter().flat_map(|g| g.rows.clone()).collect()];
        Ok([&dataset.train, &dataset.validation, &dataset.test].map(|split| of(split)).to_vec())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn parquet(&self, labels: ArrayRef, codec: Compression) {
        let numbers =
            |of: usize| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| row(i)[of] as i64))) };
        let files: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("{i}.png"))));
        let columns = [("file", files), ("y", labels), ("place", numbers(1)), ("split", numbers(2))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let packed = WriterProperties::builder().set_compression(codec).build();
        let file = fs::File::create(self.0.path().join("t.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(packed)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

/// The table with these words for the classes, and this between values.
fn csv(words: [&str; 2], between: &str) -> String {
    let mut text = ["file", "y", "place", "split"].join(between) + "\n";
    for i in 0..ROWS {
        let [y, place, split] = row(i);
        text += &([&format!("{i}.png"), words[y], &place.to_string(), &split.to_string()].join(between) + "\n");
    }
    text
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn json(value: impl Fn(usize) -> String) -> String {
    let line = |i: usize| {
        let [y, place, split] = row(i);
        format!("{{\"file\": \"{i}.png\", \"y\": {}, \"place\": {place}, \"split\": {split}}}\n", value(y))
    };
    (0..ROWS).map(line).collect()
}

#[test]
fn forty_ways_to_write_a_table_give_the_same_rows() {
    let pictures = Pictures::new();
    pictures.write("t.csv", csv(["0", "1"], ","));
    let plain = pictures.open("t.csv", "[\"no\", \"yes\"]", "").unwrap();
    let same = |table: &str, names: &str, what: &str| {
        assert_eq!(pictures.open(table, names, "").as_ref(), Ok(&plain), "{what}");
    };
    let mut ways = 1;

    // Words for the classes, under the names that they are to match.
    let words = [
        ("[\"no\", \"yes\"]", ["0.0", "1.0"]),
        ("[\"no\", \"yes\"]", ["False", "True"]),
        ("[\"no\", \"yes\"]", ["false", "TRUE"]),
        ("[\"no\", \"yes\"]", ["no", "yes"]),
        ("[\"no\", \"yes\"]", [" no", "yes "]),
        ("[\"0\", \"1\"]", ["0", "1"]),
        ("[\"false\", \"true\"]", ["False", "TRUE"]),
        ("[\"10\", \"2\"]", ["10", "2"]),
    ];
    for (names, words) in words {
        for between in [",", ";"] {
            pictures.write("t.csv", csv(words, between));
            same("t.csv", names, &format!("{words:?} between {between:?}"));
            ways += 1;
        }
    }
    // Dialects and encodings.
    let text = csv(["no", "yes"], ",");
    let quoted = format!("\"{}\"", csv(["no", "yes"], "\",\"").trim_end().replace('\n', "\"\n\""));
    let dialects: [(&str, Vec<u8>); 12] = [
        ("sep= with a tab", format!("sep=\t\r\n{}", csv(["no", "yes"], "\t")).into()),
        ("tabs", csv(["no", "yes"], "\t").into()),
        ("bars", csv(["no", "yes"], "|").into()),
        ("spaces", csv(["no", "yes"], "  ").into()),
        ("a byte-order mark", format!("\u{feff}{text}").into()),
        ("other line ends", text.replace('\n', "\r\n").into()),
        ("no last line end", text.trim_end().into()),
        ("quotes", quoted.into()),
        ("sep=", format!("sep=;\r\n{}", csv(["no", "yes"], ";")).into()),
        ("UTF-16 LE with a mark", utf16(&format!("\u{feff}{}", csv(["no", "yes"], "\t")), u16::to_le_bytes)),
        ("UTF-16 BE with a mark", utf16(&format!("\u{feff}{text}"), u16::to_be_bytes)),
        ("UTF-16 LE without one", utf16(&text, u16::to_le_bytes)),
    ];
    for (what, bytes) in dialects {
        pictures.write("t.csv", bytes);
        same("t.csv", "[\"no\", \"yes\"]", what);
        ways += 1;
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    pictures.write("t.csv.gz", packed.finish().unwrap());
    same("t.csv.gz", "[\"no\", \"yes\"]", "gzip");
    // JSON Lines.
    let kinds: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("numbers", &|y| y.to_string()),
        ("broken numbers", &|y| format!("{y}.0")),
        ("truth values", &|y| (y == 1).to_string()),
        ("words", &|y| format!("\"{}\"", ["no", "yes "][y])),
        ("numbers as words", &|y| format!("\"{y}\"")),
    ];
    for (what, value) in kinds {
        pictures.write("t.jsonl", json(value));
        same("t.jsonl", "[\"no\", \"yes\"]", what);
        ways += 1;
    }
    // Parquet.
    let label = |i: usize| row(i)[0];
    let labels = || (0..ROWS).map(label);
    let word = |i: usize| ["no", " yes"][label(i)];
    let types: [(&str, ArrayRef); 9] = [
        ("int8", Arc::new(Int8Array::from_iter_values(labels().map(|y| y as i8)))),
        ("int32", Arc::new(Int32Array::from_iter_values(labels().map(|y| y as i32)))),
        ("int64", Arc::new(Int64Array::from_iter_values(labels().map(|y| y as i64)))),
        ("uint8", Arc::new(UInt8Array::from_iter_values(labels().map(|y| y as u8)))),
        ("double", Arc::new(Float64Array::from_iter_values(labels().map(|y| y as f64)))),
        ("bool", Arc::new(BooleanArray::from_iter(labels().map(|y| Some(y == 1))))),
        ("string", Arc::new(StringArray::from_iter_values((0..ROWS).map(word)))),
        ("large string", Arc::new(LargeStringArray::from_iter_values((0..ROWS).map(word)))),
        ("dictionary", Arc::new((0..ROWS).map(word).collect::<DictionaryArray<Int32Type>>())),
    ];
    for (what, labels) in &types {
        pictures.parquet(Arc::clone(labels), Compression::SNAPPY);
        same("t.parquet", "[\"no\", \"yes\"]", what);
        ways += 1;
    }
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        pictures.parquet(Arc::clone(&types[2].1), codec);
        same("t.parquet", "[\"no\", \"yes\"]", &codec.to_string());
        ways += 1;
    }
    assert!(ways >= 40, "{ways}");
}

#[test]
fn the_order_of_names_and_the_type_of_the_file_do_not_swap_classes() {
    let pictures = Pictures::new();
    pictures.write("t.csv", csv(["False", "True"], ","));
    pictures.write("t.jsonl", json(|y| (y == 1).to_string()));
    let truths = (0..ROWS).map(|i| Some(row(i)[0] == 1));
    pictures.parquet(Arc::new(BooleanArray::from_iter(truths)), Compression::SNAPPY);
    let [csv_rows, json_rows, parquet_rows] =
        ["t.csv", "t.jsonl", "t.parquet"].map(|table| pictures.open(table, "[\"true\", \"false\"]", "").unwrap());
    assert_eq!((&csv_rows, &csv_rows), (&json_rows, &parquet_rows));
    // The first row is of the class false, the second name.
    assert_eq!(csv_rows[0][0][0], 1);

    pictures.write("t.csv", csv(["0", "1"], ","));
    let numbers = Int64Array::from_iter_values((0..ROWS).map(|i| row(i)[0] as i64));
    pictures.parquet(Arc::new(numbers), Compression::SNAPPY);
    for table in ["t.csv", "t.parquet"] {
        assert_eq!(pictures.open(table, "[\"1\", \"0\"]", "").unwrap()[0][0][0], 1, "{table}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_or_in_none_is_refused_by_name() {
    let pictures = Pictures::new();
    pictures.write("t.csv", csv(["0", "1"], ","));
    let refusal = |names: &str, more: &str| pictures.open("t.csv", names, more).unwrap_err();
    let ambiguous = refusal("[\"true\", \"false\"]", "");
    assert!(ambiguous.contains("`y`: 0 could be a name or the number of one"), "{ambiguous}");
    assert!(ambiguous.contains("[class]") && ambiguous.contains("values = [0, 1]"), "{ambiguous}");
    assert!(pictures.open("t.csv", "[\"true\", \"false\"]", "values = [1, 0]").is_ok());
    for names in ["[\"yes\", \"no\"]", "[\"Positive\", \"Negative\"]", "[\"toxic\", \"not toxic\"]"] {
        for words in [["0", "1"], ["False", "True"]] {
            pictures.write("t.csv", csv(words, ","));
            let message = pictures.open("t.csv", names, "").unwrap_err();
            assert!(message.contains("could be a name or the number of one"), "{names}: {message}");
        }
    }
    pictures.write("t.csv", csv(["0", "1"], ","));
    assert!(refusal("[\"1\", \"2\"]", "").contains("0 is none of the manifest's class.values: 1, 2"));
    assert!(refusal("[\"1\", \"1.0\"]", "").contains("are the same value"));
    pictures.write("t.csv", csv(["no", "1"], ","));
    let mixed = refusal("[\"no\", \"yes\"]", "");
    assert!(
        mixed.contains("line 3") && mixed.contains("1 is the number of a name, and \"no\" in line 2 is a name"),
        "{mixed}"
    );
    assert!(pictures.open("t.csv", "[\"no\", \"yes\"]", "values = [\"no\", 1]").is_ok());
    for (word, said) in
        [("", "is empty"), ("NaN", "\"NaN\" is none of"), ("None", "\"None\" is none of"), ("-", "\"-\" is none of")]
    {
        pictures.write("t.csv", csv(["no", word], ","));
        let message = refusal("[\"no\", \"yes\"]", "");
        assert!(message.contains("line 3") && message.contains("`y`") && message.contains(said), "{message}");
        assert!(word.is_empty() || message.contains("leave the row out"), "{message}");
    }
}
