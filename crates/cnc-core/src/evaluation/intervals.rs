//! Proportions with their uncertainty.
//!
//! An accuracy is a proportion k / n. Its 95 % interval is Wilson's score interval (Wilson 1927), which stays inside
//! [0, 1] and does not collapse at 0 % or 100 % as the normal approximation does: with z = 1.96,
//!
//! ```text
//! ( k + z²/2 ± z · sqrt( k (n - k) / n + z²/4 ) ) / ( n + z² )
//! ```

use serde::{Deserialize, Serialize};

/// The standard normal's 97.5 % quantile, for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Some of a number of trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proportion {
    /// How many were correct.
    pub correct: usize,
    /// How many there were.
    pub count: usize,
}

impl Proportion {
    /// Counts one more.
    pub(crate) fn add(&mut self, correct: bool) {
        self.correct += usize::from(correct);
        self.count += 1;
    }

    /// The share that is correct, in [0, 1]; `None` when there were none, never NaN.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| self.correct as f64 / self.count as f64)
    }

    /// Wilson's 95 % interval; `None` when there were none. The lower end of none correct is 0 and the upper end of all
    /// correct is 1, exactly: as the formula has it, whatever rounding makes of it.
    ///
    /// ```
    /// let interval = cnc_core::evaluation::Proportion { correct: 8, count: 10 }.wilson().unwrap();
    /// assert!((interval.low - 0.4902).abs() < 1e-4 && (interval.high - 0.9433).abs() < 1e-4);
    /// assert_eq!(cnc_core::evaluation::Proportion { correct: 0, count: 0 }.wilson(), None);
    /// ```
    #[must_use]
    pub fn wilson(&self) -> Option<Interval> {
        let p = self.accuracy()?;
        let n = self.count as f64;
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p).max(0.0) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        let bound = |value: f64| (value / scale).clamp(0.0, 1.0);
        Some(Interval {
            low: if self.correct == 0 { 0.0 } else { bound(middle - half) },
            high: if self.correct == self.count { 1.0 } else { bound(middle + half) },
        })
    }
}

/// An interval of proportions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}
