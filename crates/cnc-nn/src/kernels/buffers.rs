//! Large buffers that are used again. A buffer fresh from the system is handed over page by page as it is first written,
//! which takes longer than the work on it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Returned buffers, the longest unused first.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// A returned buffer is used again for at least this share of its size, in quarters.
const LEAST_QUARTERS: usize = 3;
/// Values in returned buffers at most (8 GiB): about all of a ResNet-50's step of 128 photographs.
const MOST_VALUES: usize = 1 << 31;

/// `f32` values; returned for further use when dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// At least `len` values.
    values: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` values, whatever they are.
    pub fn any(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<f32>| buffer.len() >= len && buffer.len() / 4 * LEAST_QUARTERS <= len;
        let best = free.iter().enumerate().filter(|(_, buffer)| fits(buffer)).min_by_key(|(_, buffer)| buffer.len());
        if let Some(i) = best.map(|(i, _)| i) {
            return Self { values: free.remove(i), len };
        }
        // Sizes have changed: smaller buffers make room for the new one.
        let mut found = 0;
        free.retain(|buffer| {
            let keep = found >= len || buffer.len() > len;
            found += if keep { 0 } else { buffer.len() };
            keep
        });
        drop(free);
        Self { values: vec![0.0; len], len }
    }

    /// The values, not to be returned.
    pub fn into_vec(mut self) -> Vec<f32> {
        self.values.truncate(self.len);
        std::mem::take(&mut self.values)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.values);
        if buffer.is_empty() {
            return;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = free.iter().map(Vec::len).sum();
        if kept + buffer.len() <= MOST_VALUES {
            free.push(buffer);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again_for_about_the_same_size() {
        // A size that no other test asks for.
        let mut first = Buffer::any(1_234_567);
        first.fill(1.0);
        let place = first.as_ptr();
        drop(first);
        assert_ne!(Buffer::any(123_456).as_ptr(), place);
        let again = Buffer::any(1_234_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 1_234_000));
        drop(again);
        assert_eq!(Buffer::any(1_234_567).into_vec().len(), 1_234_567);
    }
}
