//! Large buffers that are used again. A buffer fresh from the system is handed over page by page as it is first written,
//! which takes longer than the work on it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Returned buffers, the longest unused first.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// A returned buffer is used again for at least this share of its size, in quarters.
const LEAST_QUARTERS: usize = 3;
/// Values in returned buffers at most (2 GiB).
const MOST_VALUES: usize = 1 << 29;

/// `f32` values; returned for further use when dropped.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<f32>);

impl Buffer {
    /// A buffer of `len` values, whatever they are.
    pub fn any(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<f32>| buffer.capacity() >= len && buffer.capacity() / 4 * LEAST_QUARTERS <= len;
        let best =
            free.iter().enumerate().filter(|(_, buffer)| fits(buffer)).min_by_key(|(_, buffer)| buffer.capacity());
        if let Some(i) = best.map(|(i, _)| i) {
            let mut buffer = free.remove(i);
            drop(free);
            buffer.resize(len, 0.0);
            return Self(buffer);
        }
        // Sizes have changed: smaller buffers make room for the new one.
        let mut found = 0;
        free.retain(|buffer| {
            let keep = found >= len || buffer.capacity() > len;
            found += if keep { 0 } else { buffer.capacity() };
            keep
        });
        drop(free);
        Self(vec![0.0; len])
    }

    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::any(len);
        buffer.fill(0.0);
        buffer
    }

    /// The values, not to be returned.
    pub fn into_vec(mut self) -> Vec<f32> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.is_empty() {
            return;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= MOST_VALUES {
            free.push(buffer);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
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
        let again = Buffer::zeros(1_234_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 1_234_000));
        assert!(again.iter().all(|value| *value == 0.0));
    }
}
