//! Parquet files that say of themselves what cannot be; found by fuzzing, as allocations of gigabytes and as hangs.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use cnc_data::DataError;
use cnc_data::table::DataFile;
use cnc_data::table::parquet::ParquetFile;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// A file of one column of text in a folder of its own.
struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Written {
    fn new(texts: impl Iterator<Item = String>) -> Self {
        let column: ArrayRef = Arc::new(texts.map(Some).collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([("label", column)]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.parquet");
        let packed = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(packed)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        Self { _folder: folder, path }
    }

    /// Puts another number in the place of the only one that is encoded as `number` is after `before`.
    fn claim(&self, before: &[u8], number: u64, claimed: u64) -> &Self {
        let (from, to) = (varint(number), varint(claimed));
        assert_eq!(from.len(), to.len(), "the file would move");
        let mut bytes = std::fs::read(&self.path).unwrap();
        let pattern = [before, &from].concat();
        let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&pattern)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        bytes[found[0] + before.len()..][..to.len()].copy_from_slice(&to);
        std::fs::write(&self.path, bytes).unwrap();
        self
    }

    fn cells(&self) -> Result<usize, DataError> {
        Ok(ParquetFile::open(DataFile::local(self.path.clone()))?.cells("label")?.len())
    }
}

/// A positive number in Thrift's compact protocol: zigzag, then seven bits a byte.
fn varint(number: u64) -> Vec<u8> {
    let mut left = number * 2;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// A hundred texts of a hundred letters: a dictionary of 10,400 bytes.
fn texts() -> Written {
    Written::new((0..100).map(|i| format!("{i:02}").repeat(50)))
}

/// Start of the header of a dictionary page.
const DICTIONARY: [u8; 3] = [0x15, 4, 0x15];

#[test]
fn a_dictionary_of_more_values_than_it_has_bytes_is_damage() {
    let written = Written::new((0..100).map(|i| format!("{i}")));
    assert_eq!(written.cells().unwrap(), 100);
    // Field 7 of the header is the struct of the dictionary, and its first field is the number of values.
    let message = written.claim(&[0x4c, 0x15], 100, 8_000).cells().unwrap_err().to_string();
    assert!(message.contains("texts.parquet"), "{message}");
    assert!(message.contains("a dictionary of 8000 values in 590 bytes"), "{message}");
}

#[test]
fn a_page_that_unpacks_to_more_than_its_codec_can_do_is_damage() {
    let written = texts();
    assert_eq!(written.cells().unwrap(), 100);
    let message = written.claim(&DICTIONARY, 10_400, 1_000_000).cells().unwrap_err().to_string();
    assert!(message.contains("says that it unpacks to 1000000"), "{message}");
}

#[test]
fn more_rows_than_the_bytes_can_hold_are_refused_before_they_are_counted_out() {
    let written = Written::new(std::iter::repeat_n("same".to_string(), 300_000));
    let message = written.cells().unwrap_err().to_string();
    assert!(message.contains("300000 rows, more than its bytes can hold"), "{message}");
}
