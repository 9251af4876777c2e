//! The rows of a parquet file: anything, but a panic, a hang or an allocation out of proportion.
#![no_main]

mod file;

use cnc_data::table::DataFile;
use cnc_data::table::parquet::ParquetFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = ParquetFile::open(DataFile::local(file::write("rows.parquet", bytes))) else { return };
    let _ = table.cells("label");
    let Ok(images) = table.images("image") else { return };
    for rows in images {
        let Ok(rows) = rows else { return };
        for i in 0..rows.len() {
            let _ = rows.bytes(i);
        }
    }
});
