//! The event files of TensorBoard, as far as scalars need them.
//!
//! A file is a sequence of TFRecords: the length of the data (u64), a masked CRC-32C of those eight bytes, the data, and
//! a masked CRC-32C of the data; all little-endian. The data is a protocol buffer, `Event` of TensorFlow's `event.proto`:
//! `wall_time` (field 1, double), `step` (2, varint), and `file_version` (3, string) or `summary` (5). A summary is
//! repeated `value` (1) of `tag` (1, string) and `simple_value` (2, float).

use crc::{CRC_32_ISCSI, Crc};

/// CRC-32C (Castagnoli).
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Wire types of protocol buffers.
const VARINT: u64 = 0;
const DOUBLE: u64 = 1;
const BYTES: u64 = 2;
const FLOAT: u64 = 5;

/// The record that a file starts with.
#[must_use]
pub(crate) fn first_record(wall_time: f64) -> Vec<u8> {
    let mut event = event(wall_time);
    bytes(&mut event, 3, b"brain.Event:2");
    record(&event)
}

/// A record of scalars, by tag, at a step.
#[must_use]
pub(crate) fn scalars_record(wall_time: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, tag.as_bytes());
        key(&mut entry, 2, FLOAT);
        entry.extend((*value as f32).to_le_bytes());
        bytes(&mut summary, 1, &entry);
    }
    let mut event = event(wall_time);
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    record(&event)
}

fn event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, DOUBLE);
    event.extend(wall_time.to_le_bytes());
    event
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// TFRecord rotates and shifts a checksum, so that one of data that holds checksums is no weaker.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn bytes(out: &mut Vec<u8>, field: u64, data: &[u8]) {
    key(out, field, BYTES);
    varint(out, data.len() as u64);
    out.extend(data);
}

fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The steps of all records of a file, after checking their lengths and checksums.
    pub(in crate::run::log) fn steps(mut file: &[u8]) -> Vec<u64> {
        let mut steps = Vec::new();
        while let Some((head, rest)) = file.split_at_checked(12) {
            assert_eq!(masked_crc(&head[..8]), head[8..]);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            let (data, rest) = rest.split_at(length);
            assert_eq!(masked_crc(data), rest[..4]);
            // Key and eight bytes of the time, then key and varint of the step, here of one byte; the first has none.
            steps.push(if data[9] == 2 << 3 { u64::from(data[10]) } else { 0 });
            file = &rest[4..];
        }
        assert!(file.is_empty());
        steps
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of CRC-32C.
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_file_is_the_one_that_tensorboards_own_writer_makes() {
        let scalars = [("erm/train loss".to_owned(), 0.25), ("erm/train learning rate".to_owned(), 0.01)];
        let ours = [first_record(1.5), scalars_record(2.5, 300, &scalars)].concat();
        assert_eq!(ours, include_bytes!("../../../tests/fixtures/tensorboard.tfevents"));
    }
}
