//! The pages of a parquet column, as far as what they say of themselves can be true.
//!
//! A page's header tells how large the page is once it is decompressed and how many values it holds, and readers make
//! room for that before they look. A few damaged bytes can so ask for gigabytes: each number is held against the bytes
//! that there are first.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

/// Bytes that a page of a codec without bound may unpack to: writers make pages of one megabyte.
const LARGEST_PAGE: u64 = 256 << 20;
/// What a page may hold besides: empty ones, and codecs' own headers.
const SMALL_PAGE: u64 = 1 << 16;
/// Bytes at the start of a page's header that its sizes are within: three numbers and what names them.
const SIZES: u64 = 24;

/// Where the bytes of a parquet file are; copies are the same file.
#[derive(Debug, Clone)]
pub(super) enum Bytewise {
    Disk(Arc<File>),
    Memory(Bytes),
}

impl Length for Bytewise {
    fn len(&self) -> u64 {
        match self {
            Self::Disk(file) => Length::len(&**file),
            Self::Memory(bytes) => Length::len(bytes),
        }
    }
}

impl ChunkReader for Bytewise {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Disk(file) => Box::new(file.get_read(start)?),
            Self::Memory(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Checked here, as room is made before the file is found to be shorter.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            let file = self.len();
            return Err(ParquetError::EOF(format!("{length} bytes from byte {start} in a file of {file} bytes")));
        }
        match self {
            Self::Disk(file) => file.get_bytes(start, length),
            Self::Memory(bytes) => bytes.get_bytes(start, length),
        }
    }
}

/// A reader of one column of one row group.
pub(super) fn column_reader(
    file: &Bytewise,
    metadata: &ParquetMetaData,
    group: usize,
    leaf: usize,
) -> Result<ColumnReader> {
    let lost = || ParquetError::General("a row group lacks a column".to_string());
    let rows = metadata.row_groups().get(group).ok_or_else(lost)?;
    let chunk = rows.columns().get(leaf).ok_or_else(lost)?;
    let total = usize::try_from(rows.num_rows())?;
    if chunk.compression() == Compression::LZO {
        return Err(ParquetError::NYI(format!("column `{}` is packed with LZO", chunk.column_path())));
    }
    let headers = Headers { file: file.clone(), codec: chunk.compression() };
    let pages = SerializedPageReader::new(Arc::new(headers), chunk, total, None)?;
    let values = most_values(file.len());
    Ok(get_column_reader(chunk.column_descr_ptr(), Box::new(Pages { pages, left: values, most: values })))
}

/// How many rows a file of so many bytes can hold: an input and a label take more than a bit a row.
pub(super) fn most_values(bytes: u64) -> u64 {
    bytes.saturating_mul(8)
}

/// A file that only page headers are read from in sequence; their sizes are checked on the way.
struct Headers {
    file: Bytewise,
    codec: Compression,
}

/// The most bytes that `packed` ones can unpack to.
fn most_unpacked(codec: Compression, packed: u64) -> u64 {
    // Snappy's copies of 64 bytes take 3, LZ4's runs grow by 255 a byte.
    let (ratio, least) = match codec {
        Compression::UNCOMPRESSED => (1, 0),
        Compression::SNAPPY => (22, 0),
        Compression::LZ4 | Compression::LZ4_RAW => (255, 0),
        _ => (22, LARGEST_PAGE),
    };
    packed.saturating_mul(ratio).saturating_add(SMALL_PAGE).max(least)
}

impl Length for Headers {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Headers {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let length = SIZES.min(self.len().saturating_sub(start));
        if let Some((unpacked, packed)) = sizes(self.file.get_bytes(start, usize::try_from(length)?)?)
            && unpacked > most_unpacked(self.codec, packed)
        {
            return Err(ParquetError::General(format!("a page of {packed} bytes says that it unpacks to {unpacked}")));
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// The sizes of a page, unpacked and packed: the second and third field of its header, in Thrift's compact protocol.
/// None where the header does not begin as every writer begins it.
fn sizes(mut header: Bytes) -> Option<(u64, u64)> {
    /// A field of the next number, an i32.
    const NEXT_NUMBER: u8 = 0x15;
    let mut number = || {
        (header.try_get_u8().ok()? == NEXT_NUMBER).then_some(())?;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = header.try_get_u8().ok()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Zigzag: even numbers are the positive ones.
                return value.is_multiple_of(2).then_some(value / 2);
            }
        }
        None
    };
    number()?;
    Some((number()?, number()?))
}

/// The pages of a column, with no more values than can be.
struct Pages {
    pages: SerializedPageReader<Headers>,
    /// Values that may still come.
    left: u64,
    /// Values that may come in all.
    most: u64,
}

impl Pages {
    fn count(&mut self, page: &Page) -> Result<()> {
        let values = u64::from(page.num_values());
        if let Page::DictionaryPage { buf, .. } = page {
            // The shortest value is an empty text, which is its length of four bytes.
            if values > buf.len() as u64 {
                let bytes = buf.len();
                return Err(ParquetError::General(format!("a dictionary of {values} values in {bytes} bytes")));
            }
            return Ok(());
        }
        self.left = self.left.checked_sub(values).ok_or_else(|| {
            ParquetError::General(format!("a column with more than {} values, more than its file can hold", self.most))
        })?;
        Ok(())
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.count(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_page_are_read_from_the_start_of_its_header() {
        // type 0; unpacked 300 = zigzag 600 = 0xd8 0x04; packed 5 = zigzag 10.
        assert_eq!(sizes(Bytes::from_static(&[0x15, 0, 0x15, 0xd8, 0x04, 0x15, 10, 0x2c])), Some((300, 5)));
        assert_eq!(sizes(Bytes::from_static(&[0x15, 0, 0x15, 1, 0x15, 10])), None);
        assert_eq!(sizes(Bytes::from_static(&[0x15, 0, 0x15])), None);
        assert_eq!(sizes(Bytes::new()), None);
    }
}
