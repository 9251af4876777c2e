//! `cargo xtask digits`: the data that come with the program, drawn from MNIST.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use cnc_base::files::AtomicFile;
use cnc_data::table::parquet::ParquetFile;
use cnc_data::table::{Cell, DataFile};
use cnc_data::{HubCache, Manifest};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 0;
const DIGITS: i64 = 10;
/// Images of each digit, by the name of the file that they go to.
const PER_DIGIT: [(&str, usize); 2] = [("train", 600), ("test", 200)];
/// What the hub's viewer and Python's `datasets` read to show the columns as images and named labels.
const FEATURES: &str = r#"{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "_type": "ClassLabel"}}}}"#;

pub fn run() -> Result<()> {
    let cache = HubCache::from_env();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/digits");
    let files = Manifest::open("cmnist")?.hub_files();
    for (split, per_digit) in PER_DIGIT {
        let file =
            files.iter().find(|file| file.path.contains(split)).with_context(|| format!("MNIST has no {split}"))?;
        let source = cache.find(file).context("MNIST is needed: cargo xtask fetch cmnist")?;
        let (images, labels) = draw(&source, split, per_digit)?;
        let target = folder.join(format!("{split}.parquet"));
        let size = write(&target, images, labels)?;
        println!("{}: {} images, {size} bytes", target.display(), per_digit * DIGITS as usize);
    }
    Ok(())
}

/// The drawn images and labels, in the order of the source.
fn draw(source: &Path, split: &str, per_digit: usize) -> Result<(Vec<Vec<u8>>, Vec<i64>)> {
    let table = ParquetFile::open(DataFile::local(source))?;
    let mut rows_of: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, cell) in table.cells("label")?.into_iter().enumerate() {
        let Cell::Integer(digit) = cell else { anyhow::bail!("{}: row {row}: {cell} is no digit", table.name()) };
        rows_of.entry(digit).or_default().push(row);
    }
    ensure!(rows_of.keys().copied().eq(0..DIGITS), "{}: the labels are not the ten digits", table.name());
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut chosen: BTreeMap<usize, i64> = BTreeMap::new();
    for (digit, mut rows) in rows_of {
        ensure!(rows.len() >= per_digit, "{split} has only {} images of {digit}", rows.len());
        rows.shuffle(&mut rng);
        chosen.extend(rows.into_iter().take(per_digit).map(|row| (row, digit)));
    }
    let mut images = Vec::with_capacity(chosen.len());
    for batch in table.images("image")? {
        let batch = batch?;
        for (row, _) in chosen.range(batch.first()..batch.first() + batch.len()) {
            images.push(batch.bytes(row - batch.first())?.to_vec());
        }
    }
    Ok((images, chosen.into_values().collect()))
}

/// Writes a table in the hub's form, under its name once it is complete; gives the size back.
fn write(target: &Path, images: Vec<Vec<u8>>, labels: Vec<i64>) -> Result<u64> {
    let fields =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let paths: ArrayRef = Arc::new(StringArray::new_null(images.len()));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
    let images = StructArray::try_new(fields.clone(), vec![bytes, paths], None)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(images), Arc::new(Int64Array::from(labels))];
    let schema = Schema::new(vec![
        Field::new("image", DataType::Struct(fields), true),
        Field::new("label", DataType::Int64, true),
    ]);
    let schema = Arc::new(schema.with_metadata([("huggingface".to_string(), FEATURES.to_string())]));
    // Images are compressed already, and no two are equal.
    let bytes = ColumnPath::from(vec!["image".to_string(), "bytes".to_string()]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(bytes.clone(), false)
        .set_column_statistics_enabled(bytes, EnabledStatistics::None)
        .build();
    let file = AtomicFile::create(target).with_context(|| format!("creating {}", target.display()))?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.into_inner()?.finish().with_context(|| format!("writing {}", target.display()))?;
    Ok(target.metadata()?.len())
}
