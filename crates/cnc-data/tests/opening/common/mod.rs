//! A dataset folder that a test writes itself: a manifest and parquet files of tiny images.

pub mod comments;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use cnc_data::{DataError, Dataset, HubCache, Manifest, OpenOptions};
use image::{ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

/// A folder with the manifest `MANIFEST`, `train.parquet` of 40 rows and `test.parquet` of 20.
///
/// Row i has label i % 2 and place (i / 2) % 2, and shows a grey 8x8 image of value 10 + i.
pub struct Folder {
    pub folder: TempDir,
}

pub const MANIFEST: &str = r#"
name = "tiny"
kind = "image"
seed = 3

[input]
column = "image"

[class]
column = "label"
names = ["even", "odd"]

[attribute]
column = "place"
names = ["land", "water"]

[splits]
train = { files = ["train.parquet"] }
validation = { of = "train", fraction = 0.25 }
test = { files = ["test.parquet"] }
"#;

impl Folder {
    pub fn new() -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.text("dataset.toml", MANIFEST);
        folder.table("train.parquet", &rows(40));
        folder.table("test.parquet", &rows(20));
        folder
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a piece of the manifest.
    pub fn edit(&self, from: &str, to: &str) -> &Self {
        let text = std::fs::read_to_string(self.path("dataset.toml")).unwrap();
        assert!(text.contains(from), "{from} is not in the manifest");
        self.text("dataset.toml", &text.replacen(from, to, 1));
        self
    }

    pub fn table(&self, name: &str, columns: &[(&str, ArrayRef)]) -> &Self {
        write_table(&self.path(name), columns);
        self
    }

    pub fn open(&self) -> Result<Dataset, DataError> {
        self.open_limited(None)
    }

    pub fn open_limited(&self, limit: Option<usize>) -> Result<Dataset, DataError> {
        self.open_with(OpenOptions { limit, ..OpenOptions::default() })
    }

    /// As the images of a large dataset are, which are decoded on demand.
    pub fn open_on_demand(&self) -> Result<Dataset, DataError> {
        self.open_with(OpenOptions { in_memory: 0, ..OpenOptions::default() })
    }

    fn open_with(&self, options: OpenOptions) -> Result<Dataset, DataError> {
        let options = OpenOptions { hub: HubCache::new(self.path("cache")), ..options };
        Dataset::open(&Manifest::open(self.folder.path().to_str().unwrap())?, &options)
    }

    /// The message of the error that opening must end in.
    pub fn refusal(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

/// The columns `image`, `label` and `place` of so many rows.
pub fn rows(count: u8) -> Vec<(&'static str, ArrayRef)> {
    let numbers =
        |number: fn(u8) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..count).map(number))) };
    let pictures = (0..count).map(|i| Some(png(8, 8, |_, _| [10 + i; 3])));
    vec![
        ("image", images(pictures)),
        ("label", numbers(|i| i64::from(i % 2))),
        ("place", numbers(|i| i64::from(i / 2 % 2))),
    ]
}

pub fn labels(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

/// `columns` with one of them replaced.
pub fn with(columns: Vec<(&'static str, ArrayRef)>, name: &str, array: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    columns.into_iter().map(|(key, old)| (key, if key == name { array.clone() } else { old })).collect()
}

/// The hub's struct of `bytes` and `path`.
pub fn images(pictures: impl IntoIterator<Item = Option<Vec<u8>>>) -> ArrayRef {
    let bytes: BinaryArray = pictures.into_iter().collect();
    let paths = arrow_array::StringArray::new_null(arrow_array::Array::len(&bytes));
    let fields =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    Arc::new(StructArray::new(fields, vec![Arc::new(bytes), Arc::new(paths)], None))
}

pub fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(x, y))).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub fn write_table(path: &Path, columns: &[(&str, ArrayRef)]) {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), schema, None).unwrap();
    // Two row groups, so that a row's number is not its number in its group.
    let half = batch.num_rows() / 2;
    writer.write(&batch.slice(0, half)).unwrap();
    writer.flush().unwrap();
    writer.write(&batch.slice(half, batch.num_rows() - half)).unwrap();
    writer.close().unwrap();
}
