//! Figures as text. A figure that does not exist is a dash, never `NaN`.

use cnc_core::evaluation::Interval;

/// What stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A fraction as per cent with one decimal: `0.784` is `78.4 %`.
pub(super) fn percent(fraction: Option<f64>) -> String {
    match fraction.filter(|value| value.is_finite()) {
        Some(value) => format!("{:.1}\u{202f}%", hundredfold(value)),
        None => NONE.to_owned(),
    }
}

/// A fraction as whole per cent without the sign, for narrow cells.
pub(super) fn whole_percent(fraction: Option<f64>) -> String {
    match fraction.filter(|value| value.is_finite()) {
        Some(value) => format!("{:.0}", hundredfold(value)),
        None => NONE.to_owned(),
    }
}

/// An interval as per cent: `1.2–7.9`.
pub(super) fn interval(interval: Option<&Interval>) -> String {
    match interval.filter(|i| i.low.is_finite() && i.high.is_finite()) {
        Some(i) => format!("{:.1}–{:.1}", hundredfold(i.low), hundredfold(i.high)),
        None => NONE.to_owned(),
    }
}

/// What stands where there is no figure in a table of plain text.
pub(crate) const NO_FIGURE: &str = "-";

/// A fraction as per cent with one decimal, for tables of plain text that say the unit below: `0.784` is `78.4`.
pub(crate) fn plain_percent(fraction: Option<f64>) -> String {
    fraction.map_or(NO_FIGURE.to_owned(), |fraction| format!("{:.1}", 100.0 * fraction))
}

/// An interval as per cent, for tables of plain text: `1.2-7.9`.
pub(crate) fn plain_interval(interval: Option<Interval>) -> String {
    interval.map_or(NO_FIGURE.to_owned(), |i| format!("{:.1}-{:.1}", 100.0 * i.low, 100.0 * i.high))
}

/// As per cent. Rounding errors a hair below 0 must not show as `-0.0`.
fn hundredfold(fraction: f64) -> f64 {
    let percent = 100.0 * fraction;
    if percent.abs() < 0.05 { percent.abs() } else { percent }
}

/// A number with as many decimals as its size asks for.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => NONE.to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with narrow spaces between thousands: `10 000`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Seconds as `42 s`, `3 min 05 s` or `2 h 10 min`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.0}\u{202f}s"),
        60..3600 => format!("{}\u{202f}min {:02}\u{202f}s", whole / 60, whole % 60),
        _ => format!("{}\u{202f}h {:02}\u{202f}min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_broken_figure_is_a_dash() {
        assert_eq!(percent(None), "–");
        assert_eq!(percent(Some(f64::NAN)), "–");
        assert_eq!(interval(None), "–");
        assert_eq!(number(f64::INFINITY), "–");
        assert_eq!(duration(f64::NAN), "–");
    }

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(interval(Some(&Interval { low: -1e-18, high: 0.079 })), "0.0–7.9");
        assert_eq!(percent(Some(0.784)), "78.4\u{202f}%");
        assert_eq!(count(9999), "9999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(duration(59.4), "59\u{202f}s");
        assert_eq!(duration(185.0), "3\u{202f}min 05\u{202f}s");
        assert_eq!(duration(7800.0), "2\u{202f}h 10\u{202f}min");
    }
}
