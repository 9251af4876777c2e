//! From the bytes of a file to UTF-8, and what to say of bytes that are not text.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

/// Ends a message about bytes that are not text.
pub(super) const CONVERT: &str = "convert the file to UTF-8, for example with iconv -f latin1 -t utf-8";

/// Bytes that a packed table may have.
const LARGEST: u64 = 4 << 30;

/// Whether these are the first bytes of a gzip file.
pub(super) fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(b"\x1f\x8b")
}

/// Why no table can begin with these bytes, if they are those of another kind of file.
pub(super) fn foreign(start: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 5] = [
        (
            b"PK\x03\x04",
            "is a spreadsheet (.xlsx, .ods) or another zip archive: save the sheet as CSV (UTF-8), or unpack the archive",
        ),
        (b"\xd0\xcf\x11\xe0", "is an old spreadsheet (.xls): save the sheet as CSV (UTF-8)"),
        (b"PAR1", "is parquet: give it a name that ends in .parquet"),
        (b"\x28\xb5\x2f\xfd", "is packed with zstd: unpack it, for example with zstd -d"),
        (b"BZh", "is packed with bzip2: unpack it, for example with bunzip2"),
    ];
    kinds.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, problem)| *problem)
}

/// From two bytes to a unit of UTF-16.
type ByteOrder = fn([u8; 2]) -> u16;

/// The order of the bytes of UTF-16 text that begins so, and the bytes of its mark: with a byte-order mark, or where every second
/// byte of the first letters is zero, as of Latin letters.
fn utf16(start: &[u8]) -> Option<(ByteOrder, usize)> {
    let is_zero = |place: usize| start.iter().skip(place).step_by(2).take(8).all(|byte| *byte == 0);
    let is_letter = |place: usize| start.iter().skip(place).step_by(2).take(8).all(|byte| *byte != 0);
    match start {
        [0xff, 0xfe, ..] => Some((u16::from_le_bytes, 2)),
        [0xfe, 0xff, ..] => Some((u16::from_be_bytes, 2)),
        [_, _, _, _, ..] if is_zero(1) && is_letter(0) => Some((u16::from_le_bytes, 0)),
        [_, _, _, _, ..] if is_zero(0) && is_letter(1) => Some((u16::from_be_bytes, 0)),
        _ => None,
    }
}

/// Whether text that begins with these bytes is UTF-16.
pub(super) fn is_utf16(start: &[u8]) -> bool {
    utf16(start).is_some()
}

/// The bytes of a table as UTF-8, as far as its first bytes say that it is packed with gzip or written in UTF-16.
///
/// # Errors
/// Another kind of file, or one that is damaged; for the end of a sentence that names it.
pub(super) fn plain(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, String> {
    let bytes = if is_gzip(&bytes) {
        let mut unpacked = Vec::new();
        let read = MultiGzDecoder::new(&*bytes).take(LARGEST + 1).read_to_end(&mut unpacked);
        read.map_err(|error| format!("does not unpack with gzip ({error}); copy it again"))?;
        if unpacked.len() as u64 > LARGEST {
            return Err(format!("unpacks to more than {LARGEST} bytes: unpack it first, with gunzip"));
        }
        Cow::Owned(unpacked)
    } else {
        bytes
    };
    if let Some(problem) = foreign(&bytes) {
        return Err(problem.to_string());
    }
    let Some((unit, mark)) = utf16(&bytes) else { return Ok(bytes) };
    let (pairs, rest) = bytes.get(mark..).unwrap_or_default().as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(Cow::Owned(text.into_bytes())),
        _ => Err("looks like UTF-16 and is not: convert the file to UTF-8".to_string()),
    }
}

/// What is wrong with a row that is not UTF-8, the first of `body`, which ends the file.
pub(super) fn not_utf8(bytes: &[u8], body: &[u8], line: u64) -> String {
    let good = std::str::from_utf8(body).map_or_else(|e| e.valid_up_to(), str::len);
    let near = body.get(good.saturating_sub(12)..(good + 8).min(body.len())).unwrap_or_default();
    format!(
        "line {line} is not UTF-8 text (byte {} of the file: {:?}); {}",
        bytes.len() - body.len() + good,
        near.escape_ascii().to_string(),
        CONVERT
    )
}
