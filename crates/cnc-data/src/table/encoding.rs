//! What to say of bytes that are not UTF-8.

/// Ends a message about bytes that are not text.
pub(super) const CONVERT: &str = "convert the file to UTF-8, for example with iconv -f latin1 -t utf-8";

/// What to do with a file that begins with these bytes, which are not UTF-8.
pub(super) fn convert(start: &[u8]) -> &'static str {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        "it looks like UTF-16: convert the file to UTF-8, for example with iconv -f utf-16 -t utf-8"
    } else {
        CONVERT
    }
}

/// What is wrong with a row that is not UTF-8, the first of `body`, which ends the file.
pub(super) fn not_utf8(bytes: &[u8], body: &[u8], row: usize, line: u64) -> String {
    let good = std::str::from_utf8(body).map_or_else(|e| e.valid_up_to(), str::len);
    let near = body.get(good.saturating_sub(12)..(good + 8).min(body.len())).unwrap_or_default();
    format!(
        "row {row} is not UTF-8 text (byte {} of the file, line {line}: {:?}); {}",
        bytes.len() - body.len() + good,
        near.escape_ascii().to_string(),
        convert(bytes)
    )
}
