//! Files that are cut short or changed.

use std::path::Path;

use candle_core::Device;
use cnc_models::weights;

use crate::pth;

/// Reading ends, with a value or an error.
fn read(path: &Path, bytes: &[u8]) -> Option<String> {
    std::fs::write(path, bytes).unwrap();
    weights::read(path, &Device::Cpu).err().map(|error| error.to_string())
}

#[test]
fn a_file_cut_short_anywhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for name in ["tensors", "nested"] {
        let bytes = std::fs::read(pth(name)).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            let message = read(&path, &bytes[..length]).expect("a part is no whole");
            assert!(message.contains("cut.pth"), "{length}: {message}");
        }
    }
}

#[test]
fn a_changed_byte_never_does_more_than_make_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pth");
    let bytes = std::fs::read(pth("nested")).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            refused += usize::from(read(&path, &changed).is_some());
        }
    }
    // Pickle and values have a checksum each; names, sizes and places in the archive are checked; padding is free.
    assert!(refused > bytes.len(), "{refused} of {} changes were seen", 3 * bytes.len());
}
