//! The layout of the hub: `datasets/<owner>/<name>/...` in parquet.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::plan::Planned;
use super::{ATTRIBUTES, Which, attributes, split_number};

/// Rows of a file of CelebA on the hub, which has 19 for training.
const PER_SHARD: usize = 8_567;
/// Rows that are written at once.
const PER_ROW_GROUP: usize = 500;

/// The files of all splits while they are written.
pub struct Shards {
    which: Which,
    folder: PathBuf,
    /// Rows of each split.
    counts: [usize; 3],
    /// By split: the number of the file, the file, and rows that it is to have still.
    open: BTreeMap<usize, Shard>,
}

struct Shard {
    number: usize,
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: usize,
    waiting: Vec<Row>,
}

struct Row {
    planned: Planned,
    name: String,
    bytes: Vec<u8>,
    others: u64,
}

impl Shards {
    pub fn new(which: Which, out: &Path, rows: &[Planned]) -> Result<Self> {
        let folder = out.join("datasets").join(match which {
            Which::Waterbirds => "grodino/waterbirds/data",
            Which::Celeba => "flwrlabs/celeba/img_align+identity+attr",
        });
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let counts = [0, 1, 2].map(|split| rows.iter().filter(|row| split_number(row.split) == split).count());
        Ok(Self { which, folder, counts, open: BTreeMap::new() })
    }

    pub fn add(&mut self, planned: &Planned, name: String, bytes: Vec<u8>, others: u64) -> Result<()> {
        let split = split_number(planned.split);
        let mut shard = match self.open.remove(&split) {
            Some(shard) if shard.rows < PER_SHARD => shard,
            Some(full) => {
                let number = full.number + 1;
                full.close(self.which)?;
                self.start(split, number)?
            }
            None => self.start(split, 0)?,
        };
        // The hub names a picture, not its folder.
        let name = name.rsplit('/').next().unwrap_or_default().to_string();
        shard.waiting.push(Row { planned: *planned, name, bytes, others });
        shard.rows += 1;
        if shard.waiting.len() == PER_ROW_GROUP {
            shard.flush(self.which)?;
        }
        self.open.insert(split, shard);
        Ok(())
    }

    fn start(&self, split: usize, number: usize) -> Result<Shard> {
        let name = match self.which {
            Which::Waterbirds => ["train", "validation", "test"],
            Which::Celeba => ["train", "valid", "test"],
        }[split];
        let of = self.counts[split].div_ceil(PER_SHARD);
        let path = self.folder.join(format!("{name}-{number:05}-of-{of:05}.parquet"));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let bytes = ColumnPath::from(vec!["image".to_string(), "bytes".to_string()]);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_column_dictionary_enabled(bytes, false)
            .build();
        let writer = ArrowWriter::try_new(file, Arc::new(schema(self.which)), Some(properties))?;
        Ok(Shard { number, path, writer, rows: 0, waiting: Vec::new() })
    }

    pub fn finish(self) -> Result<()> {
        self.open.into_values().try_for_each(|shard| shard.close(self.which))
    }
}

impl Shard {
    fn flush(&mut self, which: Which) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let batch = RecordBatch::try_new(Arc::new(schema(which)), columns(which, &rows))?;
        self.writer.write(&batch)?;
        self.writer.flush().with_context(|| format!("writing {}", self.path.display()))
    }

    fn close(mut self, which: Which) -> Result<()> {
        if !self.waiting.is_empty() {
            self.flush(which)?;
        }
        self.writer.close().with_context(|| format!("writing {}", self.path.display()))?;
        Ok(())
    }
}

fn image_fields() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

fn schema(which: Which) -> Schema {
    let mut fields = vec![Field::new("image", DataType::Struct(image_fields()), true)];
    match which {
        Which::Waterbirds => {
            fields.extend(["label", "place", "bird"].map(|name| Field::new(name, DataType::Int64, true)));
        }
        Which::Celeba => {
            fields.push(Field::new("celeb_id", DataType::Int64, true));
            fields.extend(ATTRIBUTES.split_whitespace().map(|name| Field::new(name, DataType::Boolean, true)));
        }
    }
    Schema::new(fields)
}

fn columns(which: Which, rows: &[Row]) -> Vec<ArrayRef> {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.name)));
    let images: ArrayRef = Arc::new(StructArray::new(image_fields(), vec![bytes, names], None));
    let numbers = |number: &dyn Fn(&Row) -> usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row) as i64)))
    };
    let mut columns = vec![images];
    match which {
        Which::Waterbirds => columns.extend([
            numbers(&|row| row.planned.class),
            numbers(&|row| row.planned.attribute),
            numbers(&|row| row.others as usize % 200),
        ]),
        Which::Celeba => {
            columns.push(numbers(&|row| row.others as usize % 10_177 + 1));
            let values: Vec<Vec<bool>> = rows.iter().map(|row| attributes(&row.planned, row.others)).collect();
            for index in 0..ATTRIBUTES.split_whitespace().count() {
                let column = values.iter().map(|values| values.get(index).copied());
                columns.push(Arc::new(column.collect::<BooleanArray>()));
            }
        }
    }
    columns
}
