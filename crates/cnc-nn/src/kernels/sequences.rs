//! Sequences of different lengths in one tensor, without padding.

use std::ops::Range;
use std::sync::Arc;

/// Where sequences lie that follow each other, row after row: tokens of texts without the padding between them, so that
/// none of it is computed.
///
/// ```
/// use cnc_nn::ops::Sequences;
///
/// let sequences = Sequences::new(&[3, 0, 2]);
/// assert_eq!((sequences.count(), sequences.rows(), sequences.longest()), (3, 5, 3));
/// assert_eq!(sequences.ranges().collect::<Vec<_>>(), [0..3, 3..3, 3..5]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// The first row of each sequence, and the number of all rows.
    bounds: Arc<[usize]>,
}

impl Sequences {
    /// Sequences of these lengths.
    #[must_use]
    pub fn new(lengths: &[usize]) -> Self {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        Self { bounds: std::iter::once(0).chain(ends).collect() }
    }

    /// Number of sequences.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Number of rows of all sequences together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.bounds.last().copied().unwrap_or_default()
    }

    /// Rows of the longest sequence.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.ranges().map(|rows| rows.len()).max().unwrap_or_default()
    }

    /// The rows of each sequence.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.bounds.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The first row of each sequence, and the number of all rows.
    pub(crate) fn bounds(&self) -> &[usize] {
        &self.bounds
    }
}
