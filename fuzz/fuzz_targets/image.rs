//! An image in any format that is read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = cnc_data::image::decode::decode(bytes, 1 << 20);
});
